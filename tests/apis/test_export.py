"""Exported files compute what PyTorch does, for a tiny variant of every shipped architecture."""

import cv2
import numpy as np
import pytest
import torch

from depth.apis import export_model
from depth.apis.export import format_report
from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.engine.stored_config import config_to_data
from tests.shared import REPO, SAMPLES

onnx = pytest.importorskip('onnx', reason='onnx (extra export) is not installed')
pytest.importorskip('onnxruntime', reason='onnxruntime (extra export) is not installed')

# Config, size, and whether sizes are dynamic: depth_anything takes multiples of 14, EPCDepth sides
# from 160, AdaBins 129 patches and more.
METHODS = {
    'depthformer': ('configs/synthetic/depthformer_tiny_rooms.py', (96, 128), True),
    'depthformer_dgr': ('configs/synthetic/depthformer_tiny_rooms_dgr.py', (96, 128), True),
    'binsformer': ('configs/synthetic/binsformer_tiny_rooms.py', (96, 128), True),
    'bts': ('configs/synthetic/bts_tiny_rooms.py', (96, 128), True),
    'adabins': ('configs/synthetic/adabins_tiny_rooms.py', (416, 480), True),
    'dpt': ('configs/synthetic/dpt_tiny_rooms.py', (96, 128), True),
    'newcrfs': ('configs/synthetic/newcrfs_tiny_rooms.py', (96, 128), True),
    'simipu': ('configs/synthetic/simipu_tiny_rooms.py', (96, 128), True),
    'densedepth': ('configs/densedepth/densedepth_r18_rooms.py', (96, 128), True),
    'depth_anything': ('configs/synthetic/depth_anything_tiny_rooms.py', (84, 126), True),
    'depth_anything_3': ('configs/synthetic/depth_anything_3_tiny_rooms.py', (84, 126), True),
    'dinov3_dpt': ('configs/synthetic/dinov3_dpt_tiny_rooms.py', (96, 128), True),
    'dinov3_light': ('configs/synthetic/dinov3_light_tiny_rooms.py', (96, 128), True),
    'metric3d': ('configs/synthetic/metric3d_tiny_rooms.py', (112, 140), True),
    'zoedepth': ('configs/synthetic/zoedepth_tiny_rooms.py', (96, 128), True),
    'moge': ('configs/synthetic/moge_tiny_rooms.py', (96, 128), False),
    'depth_pro': ('configs/synthetic/depth_pro_tiny_rooms.py', (96, 128), True),
    'scaledepth': (
        'projects/ScaleDepth/configs/ScaleDepth/scaledepth_tiny_rooms_streets.py',
        (96, 128),
        True,
    ),
    'plane2depth': (
        'projects/Plane2Depth/configs/Plane2Depth/plane2depth_tiny_rooms.py',
        (96, 128),
        True,
    ),
    'sdconvtrans': (
        'projects/SDConvTrans/configs/SDConvTrans/sdconvtrans_tiny_rooms.py',
        (96, 128),
        True,
    ),
    'epcdepth': (
        'projects/EPCDepth/configs/synthetic/epcdepth_r18_streets_160x320.py',
        (160, 320),
        True,
    ),
}
IN_CI = ('depthformer', 'depth_anything', 'moge')


def methods():
    """Return the methods as parameters; all but three are marked long."""
    parameters = []
    for name in METHODS:
        marks = () if name in IN_CI else (pytest.mark.long,)
        parameters.append(pytest.param(name, marks=marks))
    return parameters


def tiny_checkpoint(method, folder):
    """Write a checkpoint with random weights and the config of a tiny variant."""
    torch.manual_seed(0)
    cfg = load_config(REPO / METHODS[method][0])
    model = build_without_weights(cfg)
    path = folder / f'{method}.pth'
    meta = dict(cfg=config_to_data(cfg), weights_licence='CC0-1.0')
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Return a folder of two pictures: real frames where they are, smooth noise elsewhere."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for index, stem in enumerate(('nyu_00000', 'redwood_00001')):
        source = SAMPLES / f'indoor_rgbd/rgb/{stem}.jpg'
        if source.is_file():
            image = cv2.resize(cv2.imread(str(source)), (128, 96), interpolation=cv2.INTER_AREA)
        else:
            rng = np.random.default_rng(index)
            image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (128, 96))
        cv2.imwrite(str(folder / f'{stem}.png'), image)
    return folder


@pytest.mark.parametrize('method', methods())
def test_a_tiny_variant_has_parity_in_onnx(method, tmp_path, photos):
    _, size, dynamic = METHODS[method]
    checkpoint = tiny_checkpoint(method, tmp_path)
    out = tmp_path / 'model.onnx'
    report = export_model(checkpoint, out, size=size, dynamic=dynamic, frames=[photos])
    assert report['passed'], format_report(report)
    assert len({tuple(entry['size']) for entry in report['images']}) == (5 if dynamic else 1)
    assert out.is_file()
