"""Sizes of the ZoeDepth estimator: network, batch and ground truth."""

import pytest
import torch

from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.structures import DepthDataSample
from tests.shared import REPO

CONFIG = REPO / 'configs/synthetic/zoedepth_tiny_rooms.py'


def build(options=None):
    return build_without_weights(load_config(CONFIG, options or {}))


def seen_sizes(model):
    sizes = []
    model.backbone.register_forward_pre_hook(
        lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:]))
    )
    return sizes


def test_training_stretches_images_and_keeps_the_ground_truth():
    model = build({'model.train_cfg.network_size': (64, 32)}).train()
    sizes = seen_sizes(model)
    gt_depth = torch.zeros(50, 70)
    gt_depth[10, 20] = 3.0
    losses = model(torch.randn(1, 3, 50, 70), [DepthDataSample(gt_depth=gt_depth)], mode='loss')
    assert sizes == [(64, 32)]
    # One pixel has no variance: 10 sqrt(0.15 (log d - log 3)^2).
    assert 0 < losses['loss_depth'].item() < 20


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, (96, 128)),
        ({'model.test_cfg.network_size': (32, 64)}, (32, 64)),
        # 13 and 23 pixels of border at each end make it 66x166, which is scaled by 128 / 166.
        (
            {'model.test_cfg.keep_ratio': True, 'model.test_cfg.pad_input': True},
            (64, 128),
        ),
    ],
)
def test_depth_has_the_size_of_the_batch(options, expected):
    model = build(options).eval()
    sizes = seen_sizes(model)
    with torch.inference_mode():
        depth = model(torch.randn(2, 3, 40, 120), mode='tensor')
    assert depth.shape == (2, 1, 40, 120)
    assert depth.min() >= 1e-3
    assert depth.max() <= 10
    assert sizes == [expected]


@pytest.mark.parametrize('resize', ['bilinear', 'bicubic'])
def test_a_mirrored_image_has_the_mirrored_prediction(resize):
    options = {
        'model.test_cfg.flip': True,
        'model.test_cfg.pad_input': True,
        'model.test_cfg.depth_resize': resize,
    }
    model = build(options).eval()
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
    depths = []
    for pixels in (image, image.flip(-1)):
        sample = model.test_step(dict(inputs=[pixels], data_samples=[DepthDataSample()]))[0]
        depths.append(sample.pred_depth)
    assert (depths[0] - depths[1].flip(-1)).abs().max() < 1e-4


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'model.test_cfg.network_size': (100, 128)}, r'test_cfg\.network_size .* multiples of 32'),
        ({'model.train_cfg.network_size': None}, r'train_cfg\.network_size .* got None'),
        ({'model.test_cfg.depth_resize': 'area'}, "'bilinear' or 'bicubic'"),
        ({'model.test_cfg.pad': True}, "did you mean 'pad_input'"),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(options)
