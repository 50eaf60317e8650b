"""Cameras of input images: EXIF data, and models that estimate the camera."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from depth.apis import DepthInferencer, inference_model
from depth.apis.image_cameras import EXIF_BLOCK, FOCAL_LENGTH_35MM, ImageCameras, camera_from_exif
from depth.datasets.transforms.loading import read_image
from depth.visualization.colormap import NO_DEPTH_COLOR
from tests.shared import REPO

DEPTH_PRO = REPO / 'configs/synthetic/depth_pro_tiny_rooms.py'
MOGE = REPO / 'configs/synthetic/moge_tiny_rooms.py'


def write_jpeg(path, focal_mm=None, size=(64, 48)):
    pixels = np.random.RandomState(0).randint(256, size=(size[1], size[0], 3)).astype(np.uint8)
    exif = Image.Exif()
    if focal_mm is not None:
        exif.get_ifd(EXIF_BLOCK)[FOCAL_LENGTH_35MM] = focal_mm
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def read_ply(path):
    """Return the points (M, 3) of a PLY file of the inferencer."""
    header, _, data = path.read_bytes().partition(b'end_header\n')
    count = int(header.split(b'element vertex ')[1].split()[0])
    fields = [(name, '<f4') for name in 'xyz'] + [(name, 'u1') for name in ('r', 'g', 'b')]
    vertices = np.frombuffer(data, dtype=fields, count=count)
    return np.stack([vertices[name] for name in 'xyz'], axis=1)


def test_the_focal_length_for_film_scales_with_the_diagonal(tmp_path):
    camera = camera_from_exif(write_jpeg(tmp_path / 'a.jpg', focal_mm=26))
    focal = 26 * math.hypot(64, 48) / math.hypot(36, 24)  # 80 pixels for 43.3 mm
    assert camera == pytest.approx(np.array([[focal, 0, 31.5], [0, focal, 23.5], [0, 0, 1]]))
    assert camera_from_exif(write_jpeg(tmp_path / 'b.jpg')) is None
    assert camera_from_exif(write_jpeg(tmp_path / 'c.jpg', focal_mm=0)) is None
    (tmp_path / 'd.jpg').write_bytes(b'no image')
    assert camera_from_exif(tmp_path / 'd.jpg') is None


def test_a_camera_that_is_given_comes_before_that_of_the_file(tmp_path):
    path = str(write_jpeg(tmp_path / 'a.jpg', focal_mm=26))
    default = [[50, 0, 31.5], [0, 50, 23.5], [0, 0, 1]]
    assert ImageCameras((40, 40, 31.5, 23.5), None, None).matrix((48, 64), path)[0, 0] == 40
    assert ImageCameras(None, None, default).matrix((48, 64), path)[0, 0] == 50
    assert ImageCameras(None, None, None).matrix((48, 64), path)[0, 0] == pytest.approx(
        48.07, rel=1e-3
    )


def test_depth_pro_is_metric_by_the_focal_length_of_the_file(tmp_path):
    model = DepthInferencer(DEPTH_PRO, device='cpu').model
    model.decode_head.init_depth_bias(3.0)
    wide = inference_model(model, write_jpeg(tmp_path / 'wide.jpg', focal_mm=18))
    tele = inference_model(model, write_jpeg(tmp_path / 'tele.jpg', focal_mm=36))
    torch.testing.assert_close(tele.pred_depth, 2 * wide.pred_depth)
    assert tele.pred_intrinsics[0, 0] == pytest.approx(2 * wide.pred_intrinsics[0, 0].item())


def test_an_estimated_camera_gives_the_point_cloud_without_masked_points(tmp_path):
    torch.manual_seed(0)
    inferencer = DepthInferencer(MOGE, device='cpu')
    path = write_jpeg(tmp_path / 'a.jpg')
    result = inferencer(path, out_dir=tmp_path / 'out', outputs=['ply', 'color', 'panel'])
    assert not result['errors']
    (sample,) = result['predictions']
    points = read_ply(tmp_path / 'out/ply/a.ply')
    mask = sample.pred_mask
    assert 0 < int(mask.sum()) < mask.numel()
    expected = sample.pred_points[:, mask].T.numpy()
    picture = read_image(tmp_path / 'out/color/a.png')[: 48 * 5 : 5, : 64 * 5 : 5]
    assert np.array_equal((picture == NO_DEPTH_COLOR).all(axis=-1), ~mask.numpy())
    assert points == pytest.approx(expected, rel=1e-4, abs=1e-5)
