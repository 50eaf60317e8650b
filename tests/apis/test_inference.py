import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from depth.apis import DepthInferencer, inference_model, init_model
from depth.datasets.scenes import camera_matrix, render_scene
from depth.visualization.depth_io import read_depth_png
from tests.shared import REPO

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
    assert read_depth_png(tmp_path / 'out/depth/sub/a.png') == pytest.approx(depth, abs=5.1e-4)
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
    result = DepthInferencer(weights, device='cpu')(tmp_path / 'data/images', out_dir=tmp_path / 'out', outputs=['ply'])
    assert result['files'] == [str(tmp_path / 'out/ply/0.ply')]


def test_equal_names_do_not_overwrite_each_other(weights, images, tmp_path):
    cv2.imwrite(str(images / 'a.bmp'), np.zeros((96, 128, 3), np.uint8))
    result = DepthInferencer(weights, device='cpu')(images, out_dir=tmp_path / 'out', outputs=['npy'])
    assert len(set(result['files'])) == 3


def test_no_image_is_an_error(weights, tmp_path):
    with pytest.raises(ValueError, match='names no image'):
        DepthInferencer(weights, device='cpu')(tmp_path)


@pytest.mark.slow
def test_the_command(weights, images, tmp_path):
    command = [sys.executable, str(REPO / 'tools/infer.py'), str(images / '*.png'), '--checkpoint', str(weights)]
    done = subprocess.run(
        [*command, '--out-dir', str(tmp_path / 'out'), '--device', 'cpu', '--intrinsics', '100', '100', '64', '48'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'out/ply/a.ply').is_file()
    failed = subprocess.run(
        [*command[:2], str(images / 'no.png'), *command[3:], '--out-dir', str(tmp_path / 'o')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 1
    assert 'no.png does not exist' in failed.stderr
    assert 'Traceback' not in failed.stderr


def test_a_shipped_config_builds_without_fetching_pretrained_weights():
    model = init_model(REPO / 'configs/densedepth/densedepth_r18_folder.py')
    assert model.cfg.model.backbone.pretrained is False
