"""The page of a server: its files and values, and the page itself in a headless Chromium."""

import base64
import io
import json
import re
import shutil
import struct
import threading
from types import SimpleNamespace
from urllib.request import Request, urlopen

import cv2
import numpy as np
import pytest
import torch

from depth.apis import DepthInferencer, init_model
from depth.apis.depth_server import DepthServer, ServedDepth
from depth.apis.serving import serve
from depth.apis.serving_page import DOWNLOADS, NO_CAMERA, _outputs
from depth.datasets.scenes import camera_matrix, render_scene
from depth.evaluation import PredictionType
from depth.structures import DepthDataSample
from depth.visualization import write_mesh
from tests.shared import REPO

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
# Software rendering, and nothing that asks the internet.
FLAGS = (
    '--no-sandbox --disable-quic --no-first-run --disable-background-networking '
    '--disable-component-update --disable-sync --use-angle=swiftshader --enable-unsafe-swiftshader'
)


def glb_content(path):
    """Return the document of a GLB file, and its positions and triangles."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from('<4sII', content)
    assert (magic, version, length) == (b'glTF', 2, len(content))
    (size,) = struct.unpack_from('<I', content, 12)
    document = json.loads(content[20 : 20 + size])
    data = content[28 + size :]
    arrays = []
    for accessor, kind in ((0, '<f4'), (2, '<u4')):
        view = document['bufferViews'][accessor]
        values = data[view['byteOffset'] : view['byteOffset'] + view['byteLength']]
        arrays.append(np.frombuffer(values, kind).reshape(-1, 3))
    return document, *arrays


def test_a_mesh_joins_neighbours_of_one_surface(tmp_path):
    depth = np.full((4, 6), 2.0, np.float32)
    depth[:, 3:] = 4.0
    depth[0, 0] = 0
    camera = np.array([[10.0, 0, 2.5], [0, 10.0, 1.5], [0, 0, 1]])
    count = write_mesh(tmp_path / 'm.glb', depth, camera, np.zeros((4, 6, 3), np.uint8))
    _, vertices, triangles = glb_content(tmp_path / 'm.glb')
    # Two fields of 3x2 squares, without the square at the pixel that has no depth.
    assert count == len(triangles) == 2 * (6 + 6 - 1)
    # Each triangle lies in one surface, and faces the camera, which looks along -z.
    corners = vertices[triangles]
    assert (corners[..., 2].max(axis=1) == corners[..., 2].min(axis=1)).all()
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normals[:, 2] > 0).all()
    # The pixel (5, 3) at 4 m: x right, y up.
    expected = [(5 - 2.5) / 10 * 4, -(3 - 1.5) / 10 * 4, -4]
    assert np.isclose(vertices, expected, atol=1e-6).all(axis=1).any()
    with pytest.raises(ValueError, match='no two neighbouring pixels'):
        write_mesh(tmp_path / 'e.glb', np.zeros((4, 6)), camera, np.zeros((4, 6, 3), np.uint8))


def outputs_of(tmp_path, camera, prediction_type='metric'):
    frame = render_scene('rooms', 0, 0, 'test')
    depth = frame['gt_depth']
    kind = PredictionType(prediction_type)
    result = ServedDepth(depth, depth, frame['img'], camera, None, kind, 0.5)
    widgets = SimpleNamespace(
        DownloadButton=lambda **options: options,
        Markdown=lambda text='', visible=True: (text, visible),
    )
    return depth, _outputs(widgets, result, tmp_path)


def test_a_result_has_its_values_and_files(tmp_path):
    depth, outputs = outputs_of(tmp_path, camera_matrix('rooms', (96, 128)))
    view, cloud, note, *downloads = outputs
    assert note == ('', False)
    text = re.search(r'data-codes="([^"]*)"', view)[1]
    codes = np.frombuffer(base64.b64decode(text), '<u2')
    assert np.abs(codes.reshape(depth.shape) / 1000 - depth).max() <= 0.00051
    assert 'data-camera="' in cloud
    assert [entry['interactive'] for entry in downloads] == [True] * len(DOWNLOADS)
    assert np.array_equal(np.load(tmp_path / 'depth.npy'), depth)
    stored = cv2.imread(str(tmp_path / 'depth.png'), cv2.IMREAD_UNCHANGED)
    assert np.abs(stored / 1000 - depth).max() <= 0.00051
    _, vertices, _ = glb_content(tmp_path / 'surface.glb')
    assert -vertices[:, 2].min() <= depth.max()


def test_without_a_camera_there_is_no_cloud_and_the_page_says_why(tmp_path):
    _, (_, cloud, note, *downloads) = outputs_of(tmp_path, None)
    assert (cloud, note) == ('', (NO_CAMERA, True))
    assert [entry['interactive'] for entry in downloads] == [True, True, True, False, False]


def test_relative_depth_gets_no_cloud(tmp_path):
    camera = camera_matrix('rooms', (96, 128))
    _, (view, cloud, note, *_) = outputs_of(tmp_path, camera, 'affine_invariant_disparity')
    assert cloud == ''
    assert 'would bend the scene' in note[0]
    assert 'data-unit=""' in view


class RampInferencer(DepthInferencer):
    """Inferencer whose depth rises from 1 m at the left to 5 m at the right."""

    def __call__(self, inputs, **options):
        height, width = inputs[0].shape[:2]
        sample = DepthDataSample()
        sample.pred_depth = torch.linspace(1, 5, width).expand(height, width).contiguous()
        return dict(errors={}, predictions=[sample])


@pytest.fixture(scope='module')
def address():
    pytest.importorskip('gradio', reason='the serve extra is not installed')
    model = init_model(REPO / 'configs/synthetic/dpt_tiny_rooms.py')
    started, addresses = threading.Event(), []

    def note(address):
        addresses.append(address)
        started.set()

    server = DepthServer(RampInferencer(model), 'tiny')
    threading.Thread(
        target=serve, args=(server,), kwargs=dict(port=0, on_start=note), daemon=True
    ).start()
    assert started.wait(60)
    return addresses[0]


@pytest.mark.long
def test_the_endpoint_lives_beside_the_page(address):
    content = cv2.imencode('.png', render_scene('rooms', 0, 1, 'test')['img'])[1].tobytes()
    with urlopen(Request(f'{address}/predict?format=npy', data=content), timeout=60) as answer:
        assert np.load(io.BytesIO(answer.read())).shape == (96, 128)
    with urlopen(f'{address}/', timeout=60) as answer:
        assert b'fonts.googleapis.com' not in answer.read()


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason='there is no chromium')
def test_a_visitor_gets_depth_values_ranges_points_and_files(address, tmp_path):
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    img = render_scene('rooms', 0, 2, 'test', (240, 320))['img']
    cv2.imwrite(str(tmp_path / 'room.png'), img)
    outside, errors = [], []
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / 'profile', executable_path=CHROMIUM, args=FLAGS.split()
        )
        page = context.pages[0]
        page.set_default_timeout(45_000)
        page.on('pageerror', lambda error: errors.append(str(error)))

        def note_request(request):
            if not request.url.startswith((address, 'data:', 'blob:')):
                outside.append(request.url)

        page.on('request', note_request)
        page.goto(address)
        page.wait_for_selector('#depth-facts table')
        assert page.get_by_text('rooms_10').is_visible()
        assert page.get_by_text('not stated').is_visible()
        page.set_input_files('#depth-image input[type=file]', tmp_path / 'room.png')
        page.wait_for_selector('.depth-view[data-ready]')
        expected = load_prediction(address, img)
        canvas = page.locator('.depth-stage canvas')
        canvas.hover(position=dict(x=60, y=50))
        value, x, y = read_value(page)
        assert value == pytest.approx(expected[y, x], abs=0.006)
        # The far end of the colours moves, and the legend with it.
        last_tick = page.locator('.depth-ticks span').last
        before = last_tick.inner_text()
        page.locator('.depth-far').fill('500')
        assert last_tick.inner_text() != before
        page.locator('.depth-view .depth-reset').click()
        assert last_tick.inner_text() == before
        page.get_by_label('Horizontal field of view').fill('60')
        # Its content exists only once the tab was opened.
        page.get_by_role('tab', name='3-D view').click()
        page.wait_for_selector('.depth-cloud[data-ready]')
        assert int(page.locator('.depth-cloud').get_attribute('data-points')) > 10_000
        shot = page.locator('.depth-cloud canvas').screenshot()
        drawn = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
        assert drawn.std() > 10  # more than the background
        with page.expect_download() as download:
            page.get_by_text('NumPy').click()
        assert np.array_equal(np.load(download.value.path()), expected)
        context.close()
    assert outside == []
    assert errors == []


def load_prediction(address, img):
    content = cv2.imencode('.png', img)[1].tobytes()
    with urlopen(Request(f'{address}/predict?format=npy', data=content), timeout=60) as answer:
        return np.load(io.BytesIO(answer.read()))


def read_value(page):
    """Return the value under the pointer, in metres, and its column and row."""
    number, _, _, _, column, _, row = page.locator('.depth-value').inner_text().split()
    return float(number), int(column.strip(',')), int(row)
