import pytest
import torch
from torch import nn

from depth.models.necks import PyramidPoolingNeck


@pytest.mark.parametrize('size', [(8, 10), (3, 5), (1, 1)])
def test_the_pooled_map_comes_last_at_the_coarsest_size(size):
    torch.manual_seed(0)
    neck = PyramidPoolingNeck([4, 6], channels=8, num_groups=4)
    feats = [torch.randn(1, 4, 16, 20), torch.randn(1, 6, *size)]
    outputs = neck(feats)
    assert outputs[0] is feats[0]
    assert outputs[1] is feats[1]
    assert outputs[2].shape == (1, 8, *size)
    assert [output.shape[1] for output in outputs] == neck.out_channels


def test_every_branch_has_the_group_norm_as_published():
    neck = PyramidPoolingNeck([6])
    norms = [
        module
        for branch in neck.psp_modules
        for module in branch.modules()
        if isinstance(module, nn.GroupNorm)
    ]
    assert [(norm.num_groups, norm.num_channels, norm.eps) for norm in norms] == [
        (256, 512, 1e-5)
    ] * 4
    assert not any(isinstance(module, nn.GroupNorm) for module in neck.bottleneck.modules())


def test_branches_average_and_rise_above_zero():
    """A branch of the identity on two channels: the norm makes (a, b) into (-1, 1), the ReLU into (0, 1)."""
    neck = PyramidPoolingNeck([2], channels=2, pool_scales=(1,), num_groups=1).eval()
    nn.init.eye_(neck.psp_modules[0][1].conv.weight.data[:, :, 0, 0])
    nn.init.zeros_(neck.bottleneck.conv.weight)
    nn.init.eye_(neck.bottleneck.conv.weight.data[:, 2:, 1, 1])
    feat = torch.rand(1, 2, 3, 4) + torch.tensor([0.0, 5.0]).view(1, 2, 1, 1)
    pooled = neck([feat])[-1]
    torch.testing.assert_close(pooled[:, 0], torch.zeros(1, 3, 4))
    torch.testing.assert_close(pooled[:, 1], torch.ones(1, 3, 4), atol=1e-4, rtol=0)


def test_what_does_not_fit_is_answered_in_words():
    with pytest.raises(ValueError, match='num_groups 256 does not divide channels 64'):
        PyramidPoolingNeck([6], channels=64)
