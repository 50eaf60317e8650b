import pytest
import torch

from depth.models.heads import AdaBinsHead

MINI_VIT = dict(
    channels=8, patch_size=4, num_queries=6, regressor_channels=8, num_layers=1, max_tokens=20
)
TINY = dict(in_channels=[4, 6, 8], up_sample_channels=[8, 8, 8], num_bins=12, mini_vit=MINI_VIT)


def levels(height, width):
    return [
        torch.randn(2, channels, height >> i, width >> i)
        for i, channels in enumerate(TINY['in_channels'])
    ]


def test_depth_is_inside_the_bins_that_share_out_the_range():
    torch.manual_seed(0)
    head = AdaBinsHead(**TINY, min_depth=2.0, max_depth=8.0).eval()
    outputs = head(levels(16, 20))
    edges = outputs['bin_edges']
    assert outputs['depth'].shape == (2, 1, 16, 20)
    assert edges.shape == (2, 13)
    assert torch.allclose(edges[:, [0, -1]], torch.tensor([2.0, 8.0]))
    assert (edges.diff(dim=1) > 0).all()
    assert 2 < outputs['depth'].min() <= outputs['depth'].max() < 8


@pytest.mark.parametrize(('size', 'count'), [((8, 12), 6), ((24, 16), 24)])
def test_an_image_with_too_few_or_too_many_patches_is_refused(size, count):
    with pytest.raises(ValueError, match=rf'has {count} patches of 4x4, but 7 to 20 are needed'):
        AdaBinsHead(**TINY)(levels(*size))


def test_without_a_loss_on_bins_there_is_none():
    head = AdaBinsHead(**TINY)
    gt = torch.rand(2, 1, 32, 40) + 1
    outputs = head(levels(16, 20))
    assert set(head.loss(outputs, gt)) == {'loss_depth'}
    with_bins = AdaBinsHead(**TINY, loss_chamfer=dict(type='BinsChamferLoss'))
    losses = with_bins.loss(with_bins(levels(16, 20)), gt)
    losses['loss_chamfer'].backward()
    assert with_bins.adaptive_bins_layer.regressor[0].weight.grad.abs().sum() > 0


def test_wrong_arguments_are_answered_in_words():
    with pytest.raises(ValueError, match='up_sample_channels has 2 entries, in_channels has 3'):
        AdaBinsHead(**TINY | dict(up_sample_channels=[8, 8]))
