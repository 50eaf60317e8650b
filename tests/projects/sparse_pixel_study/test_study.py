"""Mask networks against depth models whose answer is known."""

from itertools import repeat

import pytest
import torch
from torch import nn

from depth.structures import DepthDataSample
from projects.SparsePixelStudy.sparse_pixels import MaskNetwork, keep_best_pixels, masked_rmse, train_mask_network


class LooksLeft(nn.Module):
    """Depth from the mean colour of the left half alone."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, inputs):
        left = inputs[..., : inputs.shape[-1] // 2].mean(dim=(1, 2, 3), keepdim=True)
        return (self.factor * left.exp()).expand(-1, 1, *inputs.shape[-2:])


def make_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4, 3, 32, 48, generator=generator) * 0.1 + torch.linspace(-1, 1, 4).view(4, 1, 1, 1)
    return dict(inputs=inputs)


def test_the_mask_keeps_what_the_model_looks_at():
    torch.manual_seed(0)
    model, shares = LooksLeft(), []
    network = train_mask_network(
        model, repeat(make_batch()), 0.6, 150, channels=4, lr=2e-2, report=lambda *values: shares.append(values[2])
    )
    assert shares[-1] < 0.7 * shares[0]
    mask = network(make_batch()['inputs'])
    assert mask[..., :24].mean() > 1.5 * mask[..., 24:].mean()
    assert model.factor.requires_grad
    assert model.factor.grad is None
    assert model.factor.item() == 2


def test_a_larger_weight_hides_more():
    shares = []
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        network = train_mask_network(LooksLeft(), repeat(make_batch()), weight, 30, channels=4, lr=2e-2)
        shares.append(network(make_batch()['inputs']).mean().item())
    assert shares[1] < 0.5 * shares[0]


@pytest.mark.parametrize(('share', 'count'), [(0.25, 3), (1.0, 12), (0.01, 1)])
def test_the_best_pixels_are_kept(share, count):
    scores = torch.randperm(24, generator=torch.Generator().manual_seed(0)).view(2, 1, 3, 4).float()
    mask = keep_best_pixels(scores, share)
    assert mask.sum(dim=(1, 2, 3)).tolist() == [count, count]
    for image in range(2):
        hidden = scores[image][mask[image] == 0]
        assert not len(hidden) or scores[image][mask[image] == 1].min() > hidden.max()


def test_errors_are_those_of_the_visible_pixels():
    batch = make_batch()
    samples = []
    for _ in range(4):
        sample = DepthDataSample()
        sample.gt_depth = torch.full((32, 48), 3.0)
        sample.gt_depth[:16] = 0
        samples.append(sample)
    batch['data_samples'] = samples

    def left_first(inputs):
        return torch.linspace(1, 0, 48).expand(len(inputs), 1, 32, 48) + 0 * inputs[:, :1]

    model = LooksLeft()
    errors = masked_rmse(model, [batch], left_first, [0.5, 1.0])
    expected = (model(batch['inputs'])[:, 0, 0, 0] - 3).abs().mean().item()
    assert errors[0.5] == pytest.approx(expected, rel=1e-5)  # the right half is not missed
    assert errors[1.0] == pytest.approx(expected, rel=1e-5)
    assert masked_rmse(model, [batch], lambda inputs: -left_first(inputs), [0.5])[0.5] != pytest.approx(
        expected, rel=1e-2
    )


def test_any_size_goes_through():
    mask = MaskNetwork(4)(torch.randn(1, 3, 37, 51))
    assert mask.shape == (1, 1, 37, 51)
    assert 0 < mask.min() <= mask.max() < 1
