"""Points beside the images of inference: arrays, files and folders, and what is refused."""

import cv2
import numpy as np
import pytest
import torch

from depth.apis import DepthInferencer, inference_model, init_model
from depth.cli.infer import main
from depth.datasets.scenes import render_scene
from tests.shared import REPO

CONFIG = REPO / 'configs/synthetic/dinov3_dpt_tiny_rooms_streets_prompt.py'
PLAIN = REPO / 'configs/synthetic/dinov3_dpt_tiny_rooms_streets.py'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights of the model with a prompt, whose last layers are not at zero."""
    torch.manual_seed(0)
    model = init_model(CONFIG)
    for encoder in model.decode_head.prompt_fusion.encoders:
        torch.nn.init.normal_(encoder[-1].weight, std=0.1)
    path = tmp_path_factory.mktemp('weights') / 'prompt.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=model.cfg.pretty_text)), path)
    return path


@pytest.fixture
def data(tmp_path):
    """Two images with points, KITTI's integers and metres, and one image without."""
    images, scans = tmp_path / 'images', tmp_path / 'scans'
    points = {}
    for index, name in enumerate(('a', 'left/b', 'c')):
        scene = render_scene('rooms', 0, index, 'test', (48, 64))
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(images / f'{name}.png'), scene['img'])
        chosen = np.random.RandomState(index).rand(48, 64) < 0.05
        stored = np.where(chosen, np.rint(scene['gt_depth'] * 256), 0).astype(np.uint16)
        points[name] = (stored / np.float32(256)).astype(np.float32)
        if name != 'c':
            (scans / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(scans / f'{name}.png'), stored)
    return images, scans, points


def test_points_come_as_arrays_files_or_a_folder(checkpoint, data):
    images, scans, points = data
    model = init_model(checkpoint)
    path = images / 'a.png'
    alone = inference_model(model, path).pred_depth
    expected = inference_model(model, path, sparse_depth=points['a']).pred_depth
    assert not torch.allclose(alone, expected, rtol=1e-3)
    file = scans / 'a.png'
    actual = inference_model(model, [path], sparse_depth=[file], sparse_scale=256)[0].pred_depth
    assert torch.equal(actual, expected)
    result = DepthInferencer(model)(images, sparse_depth=scans, sparse_scale=256, batch_size=3)
    by_name = {entry['name']: index for index, entry in enumerate(result['images'])}
    assert not result['errors']
    assert any('1 of 3 images have no sparse depth' in note for note in result['notes'])
    folder_depth = result['predictions'][by_name['a']].pred_depth
    assert torch.allclose(folder_depth, expected, rtol=1e-4)
    # The third image of the batch has no points.
    expected = inference_model(model, images / 'c.png').pred_depth
    actual = result['predictions'][by_name['c']].pred_depth
    assert torch.allclose(actual, expected, rtol=1e-4)


def test_without_points_it_is_the_model_of_images(checkpoint, data):
    model = init_model(checkpoint)
    state = {
        name: value for name, value in model.state_dict().items() if 'prompt_fusion' not in name
    }
    plain = init_model(PLAIN)
    plain.load_state_dict(state)
    path = data[0] / 'a.png'
    assert torch.equal(
        inference_model(model, path).pred_depth, inference_model(plain, path).pred_depth
    )


def test_the_command_takes_a_file_or_a_folder(checkpoint, data, tmp_path, capsys):
    images, scans, points = data
    arguments = ['--checkpoint', str(checkpoint), '--outputs', 'npy', '--device', 'cpu']
    for source, sparse, out in ((images, scans, 'all'), (images / 'a.png', scans / 'a.png', 'one')):
        words = [str(source), '--out-dir', str(tmp_path / out), '--sparse-depth', str(sparse)]
        assert main([*words, '--sparse-scale', '256', *arguments]) == 0
    first, second = (np.load(tmp_path / out / 'npy/a.npy') for out in ('all', 'one'))
    assert np.array_equal(first, second)
    expected = inference_model(
        init_model(checkpoint), images / 'a.png', sparse_depth=points['a']
    ).pred_depth
    assert np.allclose(first, expected, rtol=1e-4)
    assert '1 of 3 images have no sparse depth' in capsys.readouterr().out


def test_an_impossible_file_fails_its_image_alone(checkpoint, data):
    images, scans, points = data
    (scans / 'a.png').unlink()
    np.save(scans / 'a.npy', -points['a'])
    np.save(scans / 'c.npy', points['c'][:, :-1])
    result = DepthInferencer(init_model(checkpoint))(images, sparse_depth=scans, sparse_scale=256)
    errors = result['errors']
    assert set(errors) == {str(images / 'a.png'), str(images / 'c.png')}
    assert 'a.npy holds negative depth' in errors[str(images / 'a.png')]
    assert 'c.npy is 48x63, expected 48x64' in errors[str(images / 'c.png')]
    # The scale is not said, and metres taken for millimetres.
    result = DepthInferencer(init_model(checkpoint))(images, sparse_depth=scans)
    assert '--sparse-scale' in result['errors'][str(images / 'left/b.png')]
    model = init_model(checkpoint)
    with pytest.raises(ValueError, match='median depth'):
        inference_model(model, images / 'a.png', sparse_depth=points['a'] * 1000)


def test_what_cannot_be_is_refused_before_anything_is_predicted(checkpoint, data, tmp_path):
    images, scans, points = data
    inferencer = DepthInferencer(init_model(checkpoint))
    with pytest.raises(ValueError, match='names 1 maps of points for 3 images'):
        inferencer(images, sparse_depth=scans / 'a.png')
    with pytest.raises(FileNotFoundError, match=r'b\.npy does not exist'):
        inferencer(images / 'a.png', sparse_depth=[scans / 'b.npy'])
    np.save(scans / 'a.npy', points['a'])
    with pytest.raises(ValueError, match='both belong to'):
        inferencer(images, sparse_depth=scans)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'has no file of any image, such as a\.npy'):
        inferencer(images, sparse_depth=tmp_path / 'empty')
    plain = init_model(PLAIN)
    with pytest.raises(ValueError, match='takes no sparse depth'):
        inference_model(plain, images / 'a.png', sparse_depth=points['a'])
    with pytest.raises(ValueError, match='takes no sparse depth'):
        DepthInferencer(plain)(images, sparse_depth=scans)
