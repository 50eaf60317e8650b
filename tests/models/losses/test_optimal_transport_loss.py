"""Sinkhorn divergence against closed forms, linear programming and finite differences."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from depth.models.heads import DenseDepthHead
from depth.models.losses import (
    CombinedLoss,
    OptimalTransportDepthLoss,
    SILogLoss,
    optimal_transport_loss,
    sinkhorn_divergence,
)
from depth.models.losses.optimal_transport_loss import cell_positions, pool_to_cells


def grid(height, width):
    diagonal = (height**2 + width**2) ** 0.5
    return [
        cell_positions(side, side, diagonal, torch.device('cpu'), torch.float64)
        for side in (height, width)
    ]


def distributions(height, width, count=2):
    masses = torch.rand(
        count, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return masses / masses.sum(dim=(1, 2), keepdim=True)


def squared_distances(rows, columns):
    pixels = torch.stack(torch.meshgrid(rows, columns, indexing='ij'), dim=-1).flatten(0, 1)
    return (pixels[:, None] - pixels[None]).square().sum(-1)


def linear_programme(first, second, cost):
    cells = len(first)
    leaves = np.kron(np.eye(cells), np.ones(cells))
    arrives = np.kron(np.ones(cells), np.eye(cells))
    masses = np.concatenate([first, second])
    return linprog(cost.ravel(), A_eq=np.concatenate([leaves, arrives]), b_eq=masses).fun


def test_a_single_cell_costs_the_way_it_moves():
    rows, columns = grid(3, 4)
    first, second = torch.zeros(2, 1, 3, 4, dtype=torch.float64)
    first[0, 0, 1], second[0, 2, 3] = 1, 1
    cost = sinkhorn_divergence(first, second, rows, columns)
    assert cost.item() == pytest.approx((2**2 + 2**2) / 5**2, abs=1e-9)


def test_one_axis_agrees_with_the_closed_form():
    rows, columns = grid(1, 40)
    first, second = distributions(1, 40).unsqueeze(1)
    # Transport on a line matches quantiles: the integral of (F^-1 - G^-1)^2 over every share of the
    # mass.
    shares = (np.arange(200_000) + 0.5) / 200_000
    quantiles = [
        columns.numpy()[np.searchsorted(mass[0, 0].cumsum(0).numpy(), shares)]
        for mass in (first, second)
    ]
    expected = np.square(quantiles[0] - quantiles[1]).mean()
    cost = sinkhorn_divergence(first, second, rows, columns, epsilon=2e-5, iterations=2000)
    assert cost.item() == pytest.approx(expected, rel=0.01)


def test_cost_tends_to_the_linear_programme_with_epsilon():
    rows, columns = grid(4, 5)
    first, second = distributions(4, 5)
    cost = squared_distances(rows, columns).numpy()
    exact = linear_programme(first.flatten().numpy(), second.flatten().numpy(), cost)
    errors = []
    for epsilon in (0.1, 0.02, 0.0003):
        actual = sinkhorn_divergence(
            first[None], second[None], rows, columns, epsilon, iterations=4000
        )
        errors.append(abs(actual.item() - exact) / exact)
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


def test_default_iterations_are_near_the_converged_cost():
    rows, columns = grid(16, 20)
    first, second = distributions(16, 20)
    ramp = torch.linspace(0.2, 1, 20, dtype=torch.float64)
    first, second = (
        (mass * side)[None] / (mass * side).sum()
        for mass, side in ((first, ramp), (second, ramp.flip(0)))
    )
    default = sinkhorn_divergence(first, second, rows, columns)
    converged = sinkhorn_divergence(first, second, rows, columns, iterations=5000)
    assert default.item() == pytest.approx(converged.item(), rel=0.01)


def test_gradient_agrees_with_finite_differences():
    target = (
        torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        + 0.5
    )
    pred = (
        torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        + 0.5
    )
    mask = torch.ones_like(pred, dtype=torch.bool)
    mask[..., 1, 2] = False
    torch.autograd.gradcheck(
        lambda depth: optimal_transport_loss(depth, target, mask, epsilon=0.05, iterations=1000),
        pred.requires_grad_(),
        eps=1e-5,
        atol=1e-7,
        rtol=1e-3,
    )


def test_only_where_depth_lies_counts():
    depth = torch.rand(2, 1, 64, 48) + 1
    mask = torch.rand(2, 1, 64, 48) > 0.3
    pred = (3 * depth).requires_grad_()
    loss = optimal_transport_loss(pred, depth, mask)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    # What is masked may hold anything.
    spoilt = torch.where(mask, depth, torch.inf)
    assert optimal_transport_loss(torch.where(mask, pred, 1e4), spoilt, mask) == loss
    shifted = optimal_transport_loss(
        depth.roll(16, dims=-1) + torch.linspace(0, 5, 48), depth, mask
    )
    assert shifted > 1e-4


def test_descending_the_gradient_brings_the_maps_together():
    target = torch.linspace(1, 4, 24).expand(1, 1, 16, 24)
    mask = torch.ones_like(target, dtype=torch.bool)
    pred = target.flip(-1).clone().requires_grad_()
    first = optimal_transport_loss(pred, target, mask)
    for _ in range(60):
        (grad,) = torch.autograd.grad(optimal_transport_loss(pred, target, mask), pred)
        pred = (pred - 0.3 * grad / grad.abs().max()).detach().requires_grad_()
    assert optimal_transport_loss(pred, target, mask) < 0.05 * first


def test_an_image_without_ground_truth_does_not_count():
    depth, target = torch.rand(2, 1, 16, 16) + 1, torch.rand(2, 1, 16, 16) + 1
    mask = torch.ones_like(depth, dtype=torch.bool)
    mask[1] = False
    both = optimal_transport_loss(depth, target, mask)
    assert both.item() == pytest.approx(
        optimal_transport_loss(depth[:1], target[:1], mask[:1]).item(), rel=1e-5
    )
    pred = depth.clone().requires_grad_()
    nothing = optimal_transport_loss(pred, target, torch.zeros_like(mask))
    nothing.backward()
    assert nothing == 0
    assert not pred.grad.any()


def test_a_dead_prediction_gives_finite_values():
    pred = torch.zeros(1, 1, 16, 16, requires_grad=True)
    loss = optimal_transport_loss(
        pred, torch.rand(1, 1, 16, 16) + 1, torch.ones(1, 1, 16, 16, dtype=torch.bool)
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(pred.grad).all()


def test_cells_average_valid_pixels():
    depth, mask = torch.rand(2, 1, 37, 50), torch.rand(2, 1, 37, 50) > 0.9
    cells, share = pool_to_cells(depth, mask, 32)
    assert cells.shape == (2, 19, 25)
    for image, row, column in ((0, 0, 0), (1, 18, 24), (0, 7, 11)):
        inside = (image, 0, slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
        valid = depth[inside][mask[inside]]
        expected = valid.mean() if len(valid) else torch.tensor(0.0)
        assert cells[image, row, column] == pytest.approx(expected.item(), rel=1e-5)
        assert share[image, row, column] == pytest.approx(mask[inside].float().mean().item())


def test_stays_in_float32_under_autocast():
    pred, target = torch.rand(1, 1, 64, 64) + 1, torch.rand(1, 1, 64, 64) + 1
    mask = torch.ones_like(pred, dtype=torch.bool)
    plain = optimal_transport_loss(pred, target, mask)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert optimal_transport_loss(pred, target, mask) == plain


def test_losses_add_up():
    pred, target = torch.rand(1, 1, 8, 8) + 1, torch.rand(1, 1, 8, 8) + 1
    mask = torch.ones_like(pred, dtype=torch.bool)
    terms = (
        dict(type='SILogLoss', loss_weight=10.0),
        dict(type='OptimalTransportDepthLoss', loss_weight=0.5),
    )
    expected = 10 * CombinedLoss(losses=[dict(type='SILogLoss')])(pred, target, mask)
    expected = expected + OptimalTransportDepthLoss(0.5)(pred, target, mask)
    assert CombinedLoss(terms)(pred, target, mask).item() == pytest.approx(
        expected.item(), rel=1e-6
    )
    with pytest.raises(ValueError, match='at least one'):
        CombinedLoss([])
    with pytest.raises(ValueError, match='must be positive'):
        OptimalTransportDepthLoss(epsilon=0)


def test_the_default_weight_acts_beside_silog():
    """The gradient is 0.05 to 1 of SILog's for errors of 20 % that are about as wide as the image."""
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing='ij'
    )
    target = (2 + 3 * rows).expand(2, 1, 48, 64)
    mask = torch.ones_like(target, dtype=torch.bool)
    for wave in (torch.sin(2 * math.pi * columns), torch.cos(2 * math.pi * rows), columns - rows):
        pred = (target * (1 + 0.2 * wave)).requires_grad_()
        gradients = [
            torch.autograd.grad(loss(pred, target, mask), pred)[0].norm()
            for loss in (OptimalTransportDepthLoss(), SILogLoss())
        ]
        assert 0.05 < float(gradients[0] / gradients[1]) < 1


def test_each_part_of_a_combined_loss_is_logged():
    losses = [
        dict(type='SILogLoss'),
        dict(type='OptimalTransportDepthLoss'),
        dict(type='SILogLoss', loss_weight=2.0),
    ]
    pred, target = torch.rand(1, 1, 8, 8) + 1, torch.rand(1, 1, 8, 8) + 1
    combined = CombinedLoss(losses)
    mask = torch.ones_like(pred, dtype=torch.bool)
    terms = combined.weighted_terms(pred, target, mask)
    assert list(terms) == ['SILogLoss', 'OptimalTransportDepthLoss', 'SILogLoss_1']
    assert terms['SILogLoss_1'] == 2 * terms['SILogLoss']
    head = DenseDepthHead(
        [8, 8, 8, 8, 8], channels=8, loss_decode=dict(type='CombinedLoss', losses=losses)
    )
    logged = head.loss(dict(depth=pred), target)
    assert list(logged) == [f'loss_depth_{name}' for name in terms]
    assert sum(logged.values()) == combined(pred, target, mask)
