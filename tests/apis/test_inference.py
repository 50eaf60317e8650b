import json
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config

from depth.apis import DepthInferencer, inference_model, init_model
from depth.apis.inference import inference_pipeline
from depth.datasets.scenes import camera_matrix, render_scene
from depth.datasets.transforms import LoadDepth
from depth.datasets.transforms.loading import read_depth
from depth.registry import TRANSFORMS
from tests.shared import REPO
from tests.shared_process import run_python

CONFIG = REPO / 'configs/synthetic/depthformer_tiny_rooms.py'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights of the tiny model as a file."""
    torch.manual_seed(0)
    model = init_model(CONFIG)
    model.decode_head.init_depth_bias(2.5)
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=model.cfg.pretty_text)), path)
    return path


@pytest.fixture
def images(tmp_path):
    """Two scenes of different types, and one file that is no image."""
    folder = tmp_path / 'in'
    (folder / 'sub').mkdir(parents=True)
    for index, name in enumerate(('a.png', 'sub/a.jpg')):
        cv2.imwrite(str(folder / name), render_scene('rooms', 0, index, 'test')['img'])
    return folder


def test_a_model_comes_from_config_and_weights_or_from_the_checkpoint_alone(weights):
    img = render_scene('rooms', 0, 0, 'test')['img']
    both = inference_model(init_model(CONFIG, weights), img).pred_depth
    alone = inference_model(init_model(weights), img).pred_depth
    assert both.shape == (96, 128)
    assert both.dtype == torch.float32
    assert torch.equal(both, alone)


def test_options_change_the_model(weights):
    model = init_model(CONFIG, weights, cfg_options={'model.test_cfg.flip': True})
    assert model.test_cfg['flip'] is True
    assert not model.training


def test_prediction_is_tensor_mode_of_the_normalised_image(weights):
    model = init_model(CONFIG, weights)
    img = render_scene('rooms', 0, 3, 'test')['img']
    batch = model.data_preprocessor(dict(inputs=[torch.from_numpy(img).permute(2, 0, 1)]))
    with torch.inference_mode():
        expected = model(batch['inputs'], mode='tensor')[0, 0]
    assert torch.allclose(inference_model(model, img).pred_depth, expected)


def test_a_list_gives_a_list_and_paths_are_read(weights, images):
    samples = inference_model(init_model(weights), [str(images / 'a.png'), images / 'sub/a.jpg'])
    assert [tuple(sample.pred_depth.shape) for sample in samples] == [(96, 128)] * 2


@pytest.mark.parametrize('parent', [BaseTransform, LoadDepth])
def test_the_inference_pipeline_leaves_out_transforms_that_need_ground_truth(parent):
    class LoadOwnDepth(parent):
        needs_ground_truth = True

        def transform(self, results):
            raise AssertionError('an image of inference has no ground truth')

    steps = [dict(type='LoadImage'), dict(type=LoadOwnDepth), dict(type='PackDepthInputs')]
    by_class = Config(dict(test_dataloader=dict(dataset=dict(pipeline=steps))))
    TRANSFORMS.register_module(module=LoadOwnDepth)
    try:
        steps[1]['type'] = 'LoadOwnDepth'
        by_name = Config(dict(test_dataloader=dict(dataset=dict(pipeline=steps))))
        for cfg in (by_class, by_name):
            names = [type(transform).__name__ for transform in inference_pipeline(cfg).transforms]
            assert names == ['LoadImage', 'PackDepthInputs']
    finally:
        TRANSFORMS.module_dict.pop('LoadOwnDepth')


@pytest.mark.parametrize('image', [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.float32)])
def test_an_array_of_another_type_is_refused(weights, image):
    with pytest.raises(ValueError, match='BGR uint8'):
        inference_model(init_model(weights), image)


def test_weights_of_another_model_are_refused(weights, tmp_path):
    with pytest.raises(ValueError, match='does not fit the model'):
        init_model(REPO / 'configs/densedepth/densedepth_r18_rooms.py', weights)


def test_inferencer_writes_everything_and_reports_what_failed(weights, images, tmp_path):
    (images / 'broken.png').write_bytes(b'nothing')
    result = DepthInferencer(weights, device='cpu')(images, out_dir=tmp_path / 'out', fov=60)
    assert len(result['predictions']) == 2
    assert [name.rsplit('/', 1)[-1] for name in result['errors']] == ['broken.png']
    assert len(result['files']) == 10
    depth = np.load(tmp_path / 'out/npy/sub/a.npy')
    assert read_depth(tmp_path / 'out/depth/sub/a.png', 1000.0) == pytest.approx(depth, abs=5.1e-4)
    side_car = json.loads((tmp_path / 'out/depth/a.json').read_text())
    assert side_car['depth_scale'] == 1000
    assert side_car['saturated_pixels'] == 0


def test_without_a_camera_there_is_a_note_and_no_cloud(weights, images, tmp_path):
    result = DepthInferencer(weights, device='cpu')(images, out_dir=tmp_path / 'out')
    assert 'they need the camera' in result['notes'][0]
    assert not (tmp_path / 'out/ply').exists()


def test_the_camera_beside_the_images_is_used(weights, tmp_path):
    scene = render_scene('rooms', 0, 0, 'test')
    (tmp_path / 'data/images').mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'data/images/0.png'), scene['img'])
    matrix = camera_matrix('rooms', (96, 128))
    entry = dict(fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2])
    (tmp_path / 'data/intrinsics.json').write_text(json.dumps(entry))
    result = DepthInferencer(weights, device='cpu')(
        tmp_path / 'data/images', out_dir=tmp_path / 'out', outputs=['ply']
    )
    assert result['files'] == [str(tmp_path / 'out/ply/0.ply')]


def test_equal_names_do_not_overwrite_each_other(weights, images, tmp_path):
    cv2.imwrite(str(images / 'a.bmp'), np.zeros((96, 128, 3), np.uint8))
    result = DepthInferencer(weights, device='cpu')(
        images, out_dir=tmp_path / 'out', outputs=['npy']
    )
    assert len(set(result['files'])) == 3


def test_each_output_is_named_after_its_input_and_the_report_lists_which_is_which(
    weights, tmp_path
):
    """The depth of 000000 was once written as 000001, because the name was taken for a marker."""
    scenes = {
        name: render_scene('rooms', 0, index, 'test')['img']
        for index, name in enumerate(('07', '00', '01'))
    }
    for name, img in scenes.items():
        cv2.imwrite(str(tmp_path / f'0000{name}.png'), img)
    inferencer, out = DepthInferencer(weights, device='cpu'), tmp_path / 'out'
    result = inferencer(
        [tmp_path / f'0000{name}.png' for name in scenes], out_dir=out, outputs=['npy']
    )
    for name, img in scenes.items():
        expected = inference_model(inferencer.model, img).pred_depth.numpy()
        assert np.array_equal(np.load(out / f'npy/0000{name}.npy'), expected)
    expected = [
        dict(
            input=str(tmp_path / f'0000{name}.png'),
            name=f'0000{name}',
            files=[f'npy/0000{name}.npy'],
            error=None,
        )
        for name in scenes
    ]
    assert result['images'] == expected
    assert json.loads((out / 'report.json').read_text())['images'] == expected


def test_calls_that_share_an_output_folder_share_its_report(weights, images, tmp_path):
    inferencer, out = DepthInferencer(weights, device='cpu'), tmp_path / 'out'
    for _ in range(2):
        for file in ('a.png', 'sub/a.jpg'):
            inferencer(images / file, out_dir=out, outputs=['npy'])
    listed = json.loads((out / 'report.json').read_text())['images']
    assert {entry['input']: entry['files'] for entry in listed} == {
        str(images / 'a.png'): ['npy/a.npy'],
        str(images / 'sub/a.jpg'): ['npy/sub/a.npy'],
    }
    assert not np.array_equal(np.load(out / 'npy/a.npy'), np.load(out / 'npy/sub/a.npy'))


@pytest.mark.parametrize('out_dir', ['in/out', 'in', 'link/out'])
def test_inference_does_not_eat_its_output(weights, images, tmp_path, out_dir):
    (tmp_path / 'link').symlink_to(images)
    for _ in range(3):
        result = DepthInferencer(weights, device='cpu')(images, out_dir=tmp_path / out_dir, fov=60)
        assert len(result['predictions']) == 2
    assert 'were left out' in ' '.join(result['notes'])


def odd_images(folder):
    """Write images that are unusual or impossible; return the names of the impossible ones."""
    img = render_scene('rooms', 0, 0, 'test')['img']
    folder.mkdir()
    for name, array in {
        'strip': img[:1].repeat(24, axis=1)[:, :3000],
        'column': np.ascontiguousarray(img[:, :1].repeat(32, axis=0)[:3000]),
        'pixel': img[:1, :1],
        'deep': img.astype(np.uint16) * 257,
        'gray': img[..., 0],
        'alpha': cv2.cvtColor(img, cv2.COLOR_BGR2BGRA),
        'usual': img,
    }.items():
        cv2.imwrite(str(folder / f'{name}.png'), array)
    pil_image = pytest.importorskip('PIL.Image')
    picture = pil_image.fromarray(img)
    picture.convert('CMYK').save(folder / 'cmyk.jpg')
    frames = [pil_image.fromarray(np.roll(img, 9 * index, axis=1)) for index in range(1, 3)]
    picture.save(folder / 'animated.webp', save_all=True, append_images=frames)
    header = struct.pack('>IIBBBBB', 40000, 40000, 8, 2, 0, 0, 0)
    chunks = [(b'IHDR', header), (b'IDAT', zlib.compress(bytes(1000))), (b'IEND', b'')]
    content = b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in chunks
    )
    (folder / 'huge.png').write_bytes(b'\x89PNG\r\n\x1a\n' + content)
    return {'huge.png'}


def test_odd_images_never_stop_the_rest(weights, tmp_path):
    impossible = odd_images(tmp_path / 'in')
    result = DepthInferencer(weights, device='cpu')(
        tmp_path / 'in', out_dir=tmp_path / 'out', fov=60
    )
    failed = {Path(path).name for path in result['errors']}
    assert impossible <= failed <= impossible | {'strip.png', 'column.png', 'pixel.png'}
    for path, message in result['errors'].items():
        assert path in message
    for entry in result['images']:
        assert bool(entry['error']) != (len(entry['files']) == 5), entry
    assert not list(tmp_path.rglob('*.tmp'))


BAD_CAMERAS = {
    'fx is 0': (0, 100, 64, 48),
    'fy is -100': (100, -100, 64, 48),
    'cx is nan': (100, 100, float('nan'), 48),
    'cy is inf': (100, 100, 64, float('inf')),
    "fx is 'wide'": ('wide', 100, 64, 48),
}


@pytest.mark.parametrize('message', BAD_CAMERAS)
@pytest.mark.parametrize('source', ['argument', 'file', 'config', 'model'])
def test_an_impossible_camera_is_refused_before_anything_is_written(
    weights, images, tmp_path, message, source
):
    fx, fy, cx, cy = BAD_CAMERAS[message]
    out, matrix = tmp_path / 'out', [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    inferencer, options = DepthInferencer(weights, device='cpu'), {}
    if source == 'argument':
        options = dict(intrinsics=(fx, fy, cx, cy))
    elif source == 'file':
        (tmp_path / 'intrinsics.json').write_text(json.dumps(dict(fx=fx, fy=fy, cx=cx, cy=cy)))
    elif source == 'config':
        inferencer.model.cfg.default_intrinsics = matrix
    names = dict(
        argument='--intrinsics',
        file='intrinsics.json',
        config='default_intrinsics',
        model='intrinsics',
    )
    said = 'must be a matrix' if 'wide' in message and source in ('config', 'model') else message
    with pytest.raises(ValueError, match=said) as raised:
        if source == 'model':
            inference_model(inferencer.model, images / 'a.png', matrix)
        else:
            inferencer(images, out_dir=out, **options)
    assert names[source] in str(raised.value)
    assert not out.exists()


@pytest.mark.parametrize(
    ('camera', 'message'),
    [((0.9, 0.9, 0.5, 0.5), 'share of the width'), ((100, 100, 300, 48), 'cx is 300 pixels, far')],
)
def test_a_camera_of_other_images_is_refused_for_each(weights, images, tmp_path, camera, message):
    result = DepthInferencer(weights, device='cpu')(
        images, out_dir=tmp_path / 'out', intrinsics=camera
    )
    assert len(result['errors']) == 2
    assert all(message in text for text in result['errors'].values())
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['report.json']


def test_cameras_of_another_program_are_said_and_not_used(weights, images, tmp_path):
    (tmp_path / 'intrinsics.json').write_text('{"width": 128, "intrinsic_matrix": [1, 2, 3]}')
    result = DepthInferencer(weights, device='cpu')(images, out_dir=tmp_path / 'out')
    assert 'intrinsics.json' in ' '.join(result['notes'])
    assert 'no point clouds' in ' '.join(result['notes'])


def test_no_image_is_an_error(weights, tmp_path):
    with pytest.raises(ValueError, match='names no image'):
        DepthInferencer(weights, device='cpu')(tmp_path)


@pytest.mark.slow
def test_the_command(weights, images, tmp_path):
    command = [
        sys.executable,
        str(REPO / 'tools/infer.py'),
        str(images / '*.png'),
        '--checkpoint',
        str(weights),
    ]
    process = run_python(
        [
            *command,
            '--out-dir',
            str(tmp_path / 'out'),
            '--device',
            'cpu',
            '--intrinsics',
            '100',
            '100',
            '64',
            '48',
        ],
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr
    assert (tmp_path / 'out/ply/a.ply').is_file()
    failed = run_python(
        [*command[:2], str(images / 'no.png'), *command[3:], '--out-dir', str(tmp_path / 'o')],
        cwd=tmp_path,
    )
    assert failed.returncode == 1
    assert 'no.png does not exist' in failed.stderr
    assert 'Traceback' not in failed.stderr


def test_a_shipped_config_builds_without_fetching_pretrained_weights():
    model = init_model(REPO / 'configs/densedepth/densedepth_r18_folder.py')
    assert model.cfg.model.backbone.pretrained is False
