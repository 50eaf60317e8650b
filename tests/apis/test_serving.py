import asyncio
import io
import json
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from depth.apis import DepthInferencer, inference_model, init_model
from depth.apis.depth_server import CameraOptions, DepthServer, ServeError, ServingLimits
from depth.apis.serving import build_app, choose_output, load_inferencer, serve
from depth.cli.serve import build_parser
from depth.depth_codes import encode_uint16
from tests.shared import REPO

pytest.importorskip('fastapi', reason='the serve extra is not installed')
httpx = pytest.importorskip('httpx', reason='the serve extra is not installed')
TINY = REPO / 'configs/synthetic/dpt_tiny_rooms.py'
LIMITS = ServingLimits(max_bytes=200_000, max_pixels=10_000, timeout=30, max_queue=64)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    model = init_model(TINY)
    model.decode_head.init_depth_bias(2.5)
    return model


@pytest.fixture
def server(model):
    server = DepthServer(DepthInferencer(model), 'tiny', LIMITS)
    yield server
    server.close()


def picture(seed=0, size=(32, 48)):
    return np.random.RandomState(seed).randint(0, 256, (*size, 3), np.uint8)


def encode(img, suffix='.png'):
    return cv2.imencode(suffix, img)[1].tobytes()


def converse(server, *requests):
    """Send requests at the same time; each is a method, a path and options of httpx."""

    async def send_all():
        transport = httpx.ASGITransport(build_app(server), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url='http://tiny') as client:
            calls = []
            for method, path, options in requests:
                calls.append(client.request(method, path, timeout=60, **options))
            return await asyncio.gather(*calls)

    return asyncio.run(send_all())


def post(server, content, path='/predict', **options):
    return converse(server, ('POST', path, dict(content=content, **options)))[0]


def test_the_answer_is_the_depth_of_inference(model, server):
    img = picture()
    expected = inference_model(model, img).pred_depth.numpy()
    answer = post(server, encode(img), headers={'Accept': 'application/x-npy'})
    assert answer.status_code == 200
    assert np.array_equal(np.load(io.BytesIO(answer.content)), expected)
    assert answer.headers['X-Depth-Type'] == 'metric'
    assert answer.headers['X-Depth-Size'] == '48x32'
    assert float(answer.headers['X-Depth-Max']) == pytest.approx(expected.max(), rel=1e-5)
    answer = post(server, encode(img))
    assert answer.headers['Content-Type'] == 'image/png'
    stored = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    scale = float(answer.headers['X-Depth-Scale'])
    assert scale == 1000
    assert np.array_equal(stored, encode_uint16(expected, scale))


@pytest.mark.parametrize('suffix', ['.jpg', '.bmp', '.webp', '.tiff'])
def test_images_of_other_formats_are_read(model, server, suffix):
    content = encode(picture(), suffix)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    answer = post(server, content, '/predict?format=npy')
    expected = inference_model(model, decoded).pred_depth.numpy()
    assert np.array_equal(np.load(io.BytesIO(answer.content)), expected)


def test_fifty_requests_at_once_get_their_own_depth(model, server):
    images = [picture(seed, (32, 32 + seed)) for seed in range(10)]
    requests = []
    for img in 5 * images:
        requests.append(('POST', '/predict?format=npy', dict(content=encode(img))))
    answers = converse(server, *requests)
    assert [answer.status_code for answer in answers] == [200] * 50
    expected = [inference_model(model, img).pred_depth.numpy() for img in images]
    for depth, answer in zip(5 * expected, answers, strict=True):
        assert np.array_equal(np.load(io.BytesIO(answer.content)), depth)
    assert server.num_pending == 0


def png_of_size(width, height):
    """Return a PNG that announces a size and holds no pixels."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    content = b'\x89PNG\r\n\x1a\n'
    for kind, data in ((b'IHDR', header), (b'IDAT', zlib.compress(b'')), (b'IEND', b'')):
        content += struct.pack('>I', len(data)) + kind + data
        content += struct.pack('>I', zlib.crc32(kind + data))
    return content


def gif():
    file = io.BytesIO()
    Image.new('RGB', (8, 8)).save(file, 'GIF')
    return file.getvalue()


GOOD = encode(picture(1))
JPEG = encode(cv2.resize(picture(1, (6, 8)), (96, 64)), '.jpg')
MALFORMED = {
    'empty': (b'', '', 400),
    'text': (b'hello', '', 415),
    'html': (b'<html></html>', '', 415),
    'json': (b'{"image": "x"}', '', 415),
    'noise': (np.random.RandomState(0).bytes(5000), '', 415),
    'zeros': (bytes(5000), '', 415),
    'zip': (b'PK\x03\x04' + bytes(100), '', 415),
    'pickle': (b'\x80\x04cos\nsystem\n(X\x04\x00\x00\x00true\x85R.', '', 415),
    'svg': (b'<svg xmlns="http://www.w3.org/2000/svg"/>', '', 415),
    'pdf': (b'%PDF-1.7\n' + bytes(100), '', 415),
    'gif': (gif(), '', 415),
    'ppm': (b'P6\n2 2\n255\n' + bytes(12), '', 415),
    'png signature': (GOOD[:8], '', 415),
    'png header': (GOOD[:40], '', 415),
    'half png': (GOOD[: len(GOOD) // 2], '', 400),
    'png without end': (GOOD[:-60], '', 400),
    'png without pixels': (png_of_size(20, 20), '', 400),
    'damaged png': (GOOD[:300] + b'XXXX' + GOOD[304:], '', 400),
    'png bomb': (png_of_size(60_000, 60_000), '', 413),
    'large png': (png_of_size(101, 100), '', 413),
    'empty png': (png_of_size(0, 0), '', 415),
    'half jpeg': (JPEG[: len(JPEG) // 2], '', 400),
    'jpeg header': (JPEG[:20], '', 415),
    'many bytes': (bytes(200_001), '', 413),
    'very many bytes': (bytes(900_001), '', 413),
    'format': (GOOD, '?format=exr', 400),
    'fov in words': (GOOD, '?fov=wide', 400),
    'fov of zero': (GOOD, '?fov=0', 400),
    'three intrinsics': (GOOD, '?intrinsics=1,2,3', 400),
    'infinite intrinsics': (GOOD, '?intrinsics=inf,500,24,16', 400),
    'negative focal length': (GOOD, '?intrinsics=-500,500,24,16', 400),
    'two cameras': (GOOD, '?fov=60&intrinsics=50,50,24,16', 400),
}


def test_malformed_requests_get_one_clear_error_each_and_the_server_goes_on(server):
    assert len(MALFORMED) >= 30
    requests = []
    for content, query, _ in MALFORMED.values():
        requests.append(('POST', f'/predict{query}', dict(content=content)))
    answers = converse(server, *requests)
    statuses = {}
    for name, answer in zip(MALFORMED, answers, strict=True):
        statuses[name] = answer.status_code
        error = json.loads(answer.content)
        assert set(error) == {'error', 'status'}
        assert error['status'] == answer.status_code
        assert '\n' not in error['error']
        assert 'Traceback' not in error['error']
    assert statuses == {name: status for name, (_, _, status) in MALFORMED.items()}
    assert server.num_pending == 0
    assert post(server, GOOD).status_code == 200


def test_wrong_requests_are_answered_in_words(server):
    form = dict(files=dict(image=('a.png', GOOD, 'image/png')))
    answers = converse(
        server,
        ('GET', '/predict', {}),
        ('PUT', '/predict', dict(content=GOOD)),
        ('GET', '/elsewhere', {}),
        ('POST', '/predict', dict(content=GOOD, headers={'Accept': 'text/html'})),
        ('POST', '/predict', form),
        ('POST', '/health', {}),
    )
    assert [answer.status_code for answer in answers] == [405, 405, 404, 406, 415, 405]
    assert 'POST the bytes of an image' in answers[0].json()['error']
    assert 'there are POST /predict' in answers[2].json()['error']
    assert 'curl --data-binary' in answers[4].json()['error']


def test_a_full_queue_and_a_late_answer_are_said(model):
    server = DepthServer(DepthInferencer(model), 'tiny', ServingLimits(timeout=0.2, max_queue=2))
    release = threading.Event()
    blocking = server.submit(release.wait)
    try:
        answer = post(server, GOOD)
        assert answer.status_code == 504
        assert 'no depth within 0.2 s' in answer.json()['error']
        # The request that was given up left the queue.
        assert server.num_pending == 1
        server.submit(release.wait)
        answer = post(server, GOOD)
        assert answer.status_code == 503
        assert answer.json()['error'] == 'the queue is full (2 requests); try again later'
        assert converse(server, ('GET', '/health', {}))[0].json()['pending'] == 2
    finally:
        release.set()
        blocking.result(5)
        server.close()


def test_a_body_that_never_ends_is_given_up(model):
    server = DepthServer(DepthInferencer(model), 'tiny', ServingLimits(timeout=0.1))

    async def drip():
        yield GOOD[:10]
        await asyncio.sleep(5)
        yield GOOD[10:]

    answer = post(server, drip())
    server.close()
    assert answer.status_code == 408


def test_an_image_that_the_model_cannot_process_is_an_error_of_that_request(server, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError('out of memory')

    monkeypatch.setattr(server.inferencer.model, 'forward', fail)
    answer = post(server, GOOD)
    assert answer.status_code == 422
    assert 'out of memory' in answer.json()['error']
    monkeypatch.setattr(server, 'predict_file', fail)
    answer = post(server, GOOD)
    assert answer.status_code == 500
    assert answer.json()['error'] == 'the server failed: RuntimeError'


def test_the_server_says_what_it_serves(server):
    facts = converse(server, ('GET', '/info', {}))[0].json()
    assert facts['name'] == 'tiny'
    assert facts['protocols'][0]['name'] == 'rooms_10'
    assert facts['depth_range'] == [0.001, 10.0]
    assert facts['licence'].startswith('not stated')
    assert facts['limits']['max_pixels'] == 10_000


@pytest.mark.parametrize(
    ('accept', 'output'),
    [
        ('*/*', 'png'),
        ('application/x-npy', 'npy'),
        ('application/octet-stream;q=0.9, image/png', 'npy'),
        ('text/html,image/png', 'png'),
        ('image/webp,image/*;q=0.8', 'png'),
    ],
)
def test_the_format_follows_the_accept_header(accept, output):
    assert choose_output({}, accept) == output
    assert choose_output(dict(format='npy'), accept) == 'npy'


def test_limits_and_ports_are_checked(server):
    with pytest.raises(ValueError, match='max_bytes of a server is a number above 0, got 0'):
        ServingLimits(max_bytes=0)
    with pytest.raises(ServeError, match='an angle between 0 and 180'):
        CameraOptions.from_query(dict(fov='nan'))
    with pytest.raises(OSError, match=r'cannot listen on 203\.0\.113\.1 port 80'):
        serve(server, '203.0.113.1', 80)
    assert build_parser().parse_args(['a.pth']).host == '127.0.0.1'


def test_folders_of_save_pretrained_are_served(model, tmp_path):
    from depth.apis import save_pretrained

    save_pretrained(model, tmp_path / 'tiny', licence='MIT', metrics=dict(abs_rel=0.5))
    inferencer = load_inferencer(tmp_path / 'tiny', device='cpu')
    facts = DepthServer(inferencer, 'tiny').describe()
    assert facts['licence'] == 'MIT'
    assert facts['metrics'] == dict(abs_rel=0.5)
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth does not exist'):
        load_inferencer(tmp_path / 'nothing.pth', device='cpu')
