"""Maps of normals: reading them, and turning them with the image."""

import cv2
import numpy as np
import pytest
import torch

from depth.datasets.scenes import render_scene
from depth.datasets.transforms import (
    KBCrop,
    LoadNormals,
    PackDepthInputs,
    RandomFlip,
    RandomRotate,
    Resize,
)
from depth.models.layers import normals_from_planes


def write(path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return str(path)


def test_bytes_become_unit_vectors(tmp_path):
    pixels = np.full((2, 3, 3), 255, np.uint8)
    pixels[0, 0] = (255, 128, 128)  # blue first: x
    pixels[1, 1] = 0
    pixels[1, 2] = 127
    img_path = tmp_path / 'rgb_1.jpg'
    write(tmp_path / 'normal_1.png', pixels)
    results = dict(img=np.zeros((2, 3, 3), np.uint8), img_path=str(img_path))
    load = LoadNormals(replace={'rgb_': 'normal_', '.jpg': '.png'})
    normals = load.transform(dict(results))['normals']
    assert normals.dtype == np.float32 and normals.shape == (2, 3, 3)
    assert np.allclose(normals[0, 0], [1, 0, 0], atol=0.01)
    assert np.allclose(normals[0, 1], 3**-0.5)
    assert not normals[1, 1].any() and not normals[1, 2].any()
    swapped = LoadNormals(channel_order='rgb').transform(
        dict(results, normals_path=str(tmp_path / 'normal_1.png'))
    )
    assert np.allclose(swapped['normals'][0, 0], [0, 0, 1], atol=0.01)


def test_files_that_do_not_fit_are_named(tmp_path):
    results = dict(img=np.zeros((2, 3, 3), np.uint8), img_path=str(tmp_path / 'a.png'))
    with pytest.raises(FileNotFoundError, match=r'a\.png do not exist; LoadNormals\.replace'):
        LoadNormals().transform(dict(results))
    path = write(tmp_path / 'small.png', np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match=r'small\.png are uint8 \(2, 2, 3\)'):
        LoadNormals().transform(dict(results, normals_path=path))
    with pytest.raises(ValueError, match="'bgr', 'rgb'"):
        LoadNormals(channel_order='xyz')


def room():
    scene = render_scene(
        world='rooms',
        seed=0,
        split='train',
        index=3,
        image_size=(96, 128),
        noise=0,
        stereo=False,
        lidar=False,
    )
    return dict(scene, img_shape=(96, 128), ori_shape=(96, 128), img_path='room')


@pytest.mark.parametrize(
    'turn',
    [
        lambda scene: scene,
        RandomFlip(prob=1.0).transform,
        lambda scene: RandomRotate.rotate(scene, 20.0),
        lambda scene: RandomRotate.rotate(RandomFlip(prob=1.0).transform(scene), -7.5),
        KBCrop(64, 96).transform,
        Resize((64, 48)).transform,
    ],
    ids=['as it is', 'mirror', 'rotate', 'both', 'crop', 'resize'],
)
def test_normals_stay_those_of_the_depth(turn):
    """After any change of the image, normals fitted to its depth with its camera are the normals it carries."""
    results = turn(room())
    depth = torch.from_numpy(results['gt_depth'])[None, None]
    camera = torch.tensor(results['cam_intrinsic'], dtype=torch.float32)[None]
    fitted, valid = normals_from_planes(depth, camera, window=7)
    carried = torch.from_numpy(results['normals']).permute(2, 0, 1)[None]
    assert carried.shape[-2:] == depth.shape[-2:]
    valid = valid & (carried.abs().amax(dim=1, keepdim=True) > 0)
    cosine = (fitted * carried).sum(dim=1, keepdim=True)[valid]
    assert valid.float().mean() > 0.5
    assert cosine.median() > 0.9995 and cosine.mean() > 0.98


def test_packing_gives_normals_only_when_asked():
    assert 'normals' not in PackDepthInputs().transform(room())['data_samples']
    packed = PackDepthInputs(with_normals=True).transform(room())['data_samples']
    assert torch.equal(packed.normals, torch.from_numpy(room()['normals']).permute(2, 0, 1))
