"""Log-depth head: start, precision, range and training."""

import math

import pytest
import torch

from depth.models.heads import DepthAnythingMetricHead, LogDepthHead
from depth.models.heads.log_depth_head import LOG_LIMITS

TINY = dict(in_channels=(8,) * 4, post_process_channels=(8, 8, 8, 8), channels=8)


def maps(scale=1.0, count=2, grid=(2, 3)):
    generator = torch.Generator().manual_seed(0)
    return [scale * torch.randn(count, 8, *grid, generator=generator) for _ in range(4)]


def head_at(depth=None):
    torch.manual_seed(0)
    head = LogDepthHead(**TINY)
    if depth is not None:
        head.init_depth_bias(depth)
    return head


@pytest.mark.parametrize('depth', [0.05, 3.0, 80.0, 5000.0])
def test_it_starts_at_any_depth(depth):
    outputs = head_at(depth)(maps())
    assert outputs['depth'].shape == (2, 1, 28, 42)
    assert (outputs['depth'].log() - math.log(depth)).abs().max() < 0.1


def test_depth_is_the_exponential_of_the_output_and_is_never_cut():
    head = head_at()
    logits = head.output(head.decode(maps()))
    torch.testing.assert_close(head(maps())['depth'], logits.exp())
    far = torch.full((1, 1, 2, 2), 1e4)
    assert torch.equal(head.clamp(far), far)
    assert head.max_depth == math.inf


@pytest.mark.parametrize('depth', [1.5, 20.0])
def test_it_starts_as_a_bounded_head_does_and_learns_as_fast_where_that_is_far_from_its_end(depth):
    """With the same weights; the gradients differ by the slope 1 - d / 80 of the sigmoid's log."""
    torch.manual_seed(0)
    bounded = DepthAnythingMetricHead(**TINY, max_depth=80.0)
    head = head_at()
    head.load_state_dict(bounded.state_dict())
    gradients = []
    for each in (bounded, head):
        each.init_depth_bias(depth)
        outputs = each(maps())
        torch.testing.assert_close(
            outputs['depth'], torch.full_like(outputs['depth'], depth), rtol=0.05, atol=0
        )
        each.loss(outputs, torch.full((2, 1, 28, 42), 3.0 * depth))['loss_depth'].backward()
        gradients.append(each.output[-1].weight.grad)
    torch.testing.assert_close(gradients[0], (1 - depth / 80) * gradients[1], rtol=0.05, atol=1e-4)


@pytest.mark.parametrize('bias', [-1e4, 1e4])
def test_extreme_outputs_stay_finite_and_positive(bias):
    head = head_at()
    with torch.no_grad():
        head.output[-1].bias.fill_(bias)
    depth = head(maps())['depth']
    assert depth.isfinite().all() and depth.min() >= 0.99 * math.exp(LOG_LIMITS[0])
    loss = head.loss(dict(depth=depth), torch.full((2, 1, 28, 42), 3.0))['loss_depth']
    assert loss.isfinite()


def test_bfloat16_autocast_has_no_steps_of_log_depth():
    head = head_at(80.0)
    with torch.no_grad():
        head.output[-1].weight.mul_(30)
        expected = head(maps())['depth']
        with torch.autocast('cpu', torch.bfloat16):
            depth = head(maps())['depth']
    assert depth.dtype == torch.float32
    error = (depth.log() - expected.log()).abs()
    # bfloat16 rounds numbers from 4 to 8 to multiples of 1/32, an error of up to 1.6 % of depth.
    rounded = expected.log().bfloat16().float()
    assert (rounded - expected.log()).abs().max() > 0.01
    assert error.max() < 0.005
    assert len(depth.unique()) > 1000


def test_log_losses_train_it_from_indoor_to_outdoor_depth():
    head = head_at(5.0)
    feats = maps(count=2)
    gt_depth = torch.full((2, 1, 28, 42), 1.5)
    gt_depth[1] = 60.0
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = sum(head.loss(head(feats), gt_depth).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(parameter.grad.isfinite().all() for parameter in head.output.parameters())


def test_a_far_end_is_no_argument():
    with pytest.raises(TypeError, match='max_depth'):
        LogDepthHead(**TINY, max_depth=80.0)
    with pytest.raises(ValueError, match='above 0'):
        head_at(0.0)
