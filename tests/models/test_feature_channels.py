"""The channels of necks and heads against those of the features, compared when a model is built."""

import pytest
import torch
from torch import nn

from depth.models.estimators import DepthEstimator
from depth.models.estimators.feature_channels import neck_channels
from depth.models.heads import BaseDepthHead
from depth.registry import MODELS

# 64, 64 and 128 channels
BACKBONE = dict(type='TimmBackbone', model_name='resnet10t', out_indices=(0, 1, 2))
DENSE_HEAD = dict(type='DenseDepthHead', up_sample_channels=[8, 8, 8], channels=8)
REFINEMENT = dict(type='DepthGradientRefinement')


@MODELS.register_module()
class FinestLevelHead(BaseDepthHead):
    """A stranger's head: one convolution on the finest level, nothing about its channels is stored."""

    def __init__(self, in_channels: int = 16, **kwargs):
        super().__init__(**kwargs)
        self.conv = nn.Conv2d(in_channels, 1, kernel_size=1)

    def forward(self, feats, data_samples=None):
        return dict(depth=self.conv(feats[0]).sigmoid())


@MODELS.register_module()
class WideningNeck(nn.Module):
    """A stranger's neck that states no channels: twice as many on the finest level, the coarsest one dropped."""

    def __init__(self, in_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels[0], 2 * in_channels[0], kernel_size=1)
        self.norm = nn.BatchNorm2d(2 * in_channels[0])

    def forward(self, feats):
        return [self.norm(self.conv(feats[0])), *feats[1:-1]]


@MODELS.register_module()
class NumberNeck(nn.Module):
    """A neck that cannot run without values."""

    def forward(self, feats):
        return [feat * feat.amax().item() for feat in feats]


@MODELS.register_module()
class SilentBackbone(nn.Module):
    """A backbone that states nothing."""

    def forward(self, inputs):
        return [inputs]


class ConcatenatingEstimator(DepthEstimator):
    """An estimator whose head does not get what the neck gives."""

    def extract_feat(self, inputs):
        return [torch.cat([feat, feat], dim=1) for feat in super().extract_feat(inputs)]


@pytest.mark.parametrize(
    ('head', 'message'),
    [
        (
            dict(DENSE_HEAD, in_channels=[64, 64, 96]),
            r'is \[64, 64, 96\], but the backbone gives \[64, 64, 128\]$',
        ),
        (
            dict(type='FinestLevelHead', in_channels=48),
            r'is 48, but the backbone gives \[64, 64, 128\]$',
        ),
        # Left to the default, which the head keeps as its attribute.
        (dict(type='MonodepthHead'), r'is \[64, 64, 128, 256, 512\], but the backbone gives'),
    ],
)
def test_a_head_for_other_channels_is_refused_with_its_place_in_the_config(head, message):
    with pytest.raises(ValueError, match=r'model\.decode_head\.in_channels ' + message):
        DepthEstimator(BACKBONE, head)


@pytest.mark.parametrize(
    ('neck', 'message'),
    [
        (
            dict(REFINEMENT, in_channels=[64, 64]),
            r'model\.neck\.in_channels is \[64, 64\], but the backbone gives',
        ),
        (
            [
                dict(REFINEMENT, in_channels=[64, 64, 128]),
                dict(REFINEMENT, in_channels=[64, 64, 96]),
            ],
            r'model\.neck\.1\.in_channels is \[64, 64, 96\], but backbone and neck give \[64, 64, 128\]$',
        ),
        (
            dict(type='PyramidPoolingNeck', in_channels=[64, 64, 128], channels=8, num_groups=4),
            r'model\.decode_head\.in_channels is \[64, 64, 128\], but backbone and neck give \[64, 64, 128, 8\]$',
        ),
        (
            dict(type='WideningNeck', in_channels=[64, 64, 128]),
            r'model\.decode_head\.in_channels is \[64, 64, 128\], but backbone and neck give \[128, 64\]$',
        ),
    ],
)
def test_necks_are_compared_in_their_order(neck, message):
    with pytest.raises(ValueError, match=message):
        DepthEstimator(BACKBONE, dict(DENSE_HEAD, in_channels=[64, 64, 128]), neck=neck)


def test_what_fits_is_built():
    neck = dict(type='WideningNeck', in_channels=[64, 64, 128])
    model = DepthEstimator(BACKBONE, dict(type='FinestLevelHead', in_channels=128), neck)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ('estimator', 'backbone', 'neck'),
    [
        (DepthEstimator, dict(type='SilentBackbone'), None),
        (DepthEstimator, BACKBONE, dict(type='NumberNeck')),
        (ConcatenatingEstimator, BACKBONE, None),
    ],
)
def test_unknown_channels_are_not_compared(estimator, backbone, neck):
    estimator(backbone, dict(type='FinestLevelHead', in_channels=7), neck)


def test_running_a_neck_without_values_leaves_it_as_it_was():
    neck = WideningNeck([4, 6])
    before = {name: tensor.clone() for name, tensor in neck.state_dict().items()}
    random_state = torch.get_rng_state()
    assert neck_channels(neck, [4, 6], [2, 4]) == [8]
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in neck.state_dict().items())
