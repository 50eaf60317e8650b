"""Mean absolute error of log depth, against values worked out by hand."""

import math

import pytest
import torch

from depth.models.losses import LogL1Loss, log_l1_loss


def test_it_is_the_mean_over_images_of_the_mean_over_their_pixels():
    target = torch.tensor([[1.0, 2.0, 0.0], [4.0, 0.0, 0.0]])[:, None, None]
    pred = torch.tensor([[2.0, 1.0, 7.0], [4.0 * math.e, 7.0, 7.0]])[:, None, None]
    loss = log_l1_loss(pred, target, target > 0)
    assert loss.item() == pytest.approx((math.log(2) + 1) / 2)
    assert LogL1Loss(loss_weight=3.0)(pred, target, target > 0).item() == pytest.approx(3 * loss)


def test_small_errors_are_abs_rel_and_no_pixel_is_no_loss():
    target = torch.rand(2, 1, 4, 5) * 50 + 1
    loss = log_l1_loss(target * 1.001, target, target > 0)
    assert loss.item() == pytest.approx(0.001, rel=1e-2)
    pred = torch.zeros(1, 1, 2, 2, requires_grad=True)
    assert log_l1_loss(pred, torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2) > 0) == 0
    loss = log_l1_loss(pred, torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2) > 0)
    loss.backward()
    assert loss.isfinite() and pred.grad.isfinite().all()


def test_between_two_depths_the_nearer_one_is_not_averaged_away():
    """A pixel that is 2 m in three images and 20 m in one: the best constant is 2 m."""
    target = torch.tensor([2.0, 2.0, 2.0, 20.0])[:, None, None, None]
    losses = {}
    for depth in (2.0, 3.5, 6.5, 20.0):
        losses[depth] = log_l1_loss(torch.full_like(target, depth), target, target > 0).item()
    assert min(losses, key=losses.get) == 2.0
