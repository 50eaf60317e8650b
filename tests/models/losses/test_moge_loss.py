"""MoGe's alignment solvers and losses against recorded values, gradients and brute force."""

import math

import numpy as np
import pytest
import torch

from depth.models.losses import MoGeLoss, align_points, align_scale
from depth.models.losses.moge_loss import (
    edge_loss,
    global_point_loss,
    mask_loss,
    metric_scale_loss,
    nearest_valid_pixels,
    normal_loss,
    normal_map_loss,
)
from tests.parity.cases import load_arrays, load_case, relative_error

CASES = load_case('relative_losses')['cases']


def array(name):
    return torch.from_numpy(load_arrays('relative_losses')[f'in/{name}'])


def maps(name):
    """Return an input (H, W, 3) as (1, 3, H, W)."""
    return array(name).permute(2, 0, 1)[None].clone()


def labelled(name):
    """Return labels (1, 3, H, W) without their infinities, and the mask (1, H, W)."""
    values = maps(name)
    mask = values.isfinite().all(dim=1)
    return torch.where(mask[:, None], values, 1), mask


def check(name, loss, variable, as_recorded=lambda gradient: gradient[0].permute(1, 2, 0)):
    """Compare a loss and its gradient with the recorded ones."""
    variable.requires_grad_()
    value = loss(variable)
    value.sum().backward()
    assert value.item() == pytest.approx(CASES[name]['value'], rel=1e-5)
    gradient = as_recorded(variable.grad).numpy()
    assert relative_error(gradient, load_arrays('relative_losses')[f'{name}/grad']) < 1e-5


@pytest.mark.parametrize('truncation', [None, 1.0])
def test_solvers_give_the_recorded_scale_and_shift(truncation):
    case = CASES[f'moge/align/trunc_{truncation}']
    names = ('relative_prediction', 'inverse_target', 'align_weight')
    pred, target, weight = (array(name).flatten(1) for name in names)
    scale = align_scale(pred, target, weight, truncation)
    assert scale.tolist() == pytest.approx(case['scale_only'], rel=1e-6)
    scale, shift = align_points(pred[:, None], target[:, None], weight, truncation)
    assert scale.tolist() == pytest.approx(case['affine_scale'], rel=1e-6)
    assert shift.tolist() == pytest.approx(case['affine_shift'], rel=1e-6)


def test_the_solver_of_points_gives_the_recorded_scale_and_shift():
    target, mask = labelled('gt_points')
    weight = mask / target[:, 2].clamp(min=0.01)
    scale, shift = align_points(
        maps('pred_points').flatten(2), target.flatten(2), weight.flatten(1)
    )
    case = CASES['moge/align_points']
    assert scale.tolist() == pytest.approx(case['scale'], rel=1e-6)
    assert shift.tolist() == pytest.approx([case['shift'][0][2]], rel=1e-6)


def test_no_scale_and_shift_of_a_fine_grid_are_better():
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.randn(2, 1, 3, 12, generator=generator)
    weight = torch.rand(1, 12, generator=generator)
    weight[:, 3] = 0

    def error(scale, shift):
        moved = scale * pred + torch.tensor([0, 0, shift]).view(1, 3, 1)
        return (weight[:, None] * (moved - target).abs()).clamp(max=1).sum().item()

    scale, shift = align_points(pred, target, weight, 1.0)
    best = error(scale.item(), shift.item())
    for other_scale in np.linspace(-2, 2, 81):
        for other_shift in np.linspace(-2, 2, 41):
            assert best <= error(float(other_scale), float(other_shift)) + 1e-5


def test_losses_and_gradients_are_the_recorded_ones():
    target, mask = labelled('gt_points')
    check('moge/global', lambda x: global_point_loss(x, target, mask, 16)[0], maps('pred_points'))
    check('moge/edge', lambda x: edge_loss(x, target, mask), maps('pred_points'))
    check('moge/normal', lambda x: normal_loss(x, target, mask), maps('pred_points'))
    scale = global_point_loss(maps('pred_points'), target, mask, 16)[1]
    assert scale.item() == pytest.approx(CASES['moge/global']['scale'], rel=1e-6)
    normals, has_normal = labelled('gt_normal')
    check('moge/normal_map', lambda x: normal_map_loss(x, normals, has_normal), maps('pred_normal'))
    finite, infinite = array('mask')[:1], array('mask_infinite')[None]
    check(
        'moge/mask_bce',
        lambda x: mask_loss(x, finite, infinite),
        array('pred_mask')[None].clone(),
        lambda gradient: gradient[0],
    )
    check(
        'moge/metric_scale',
        lambda x: metric_scale_loss(x, torch.tensor([1.2])),
        torch.tensor([1.7]),
        lambda gradient: gradient,
    )


def test_aligned_points_have_no_loss_and_the_scale_is_found():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 3, 16, 20, generator=generator) + torch.tensor([0, 0, 1]).view(3, 1, 1)
    mask = torch.rand(2, 16, 20, generator=generator) > 0.2
    scales, shift = torch.tensor([2.0, 0.5]), torch.tensor([0, 0, 0.7]).view(1, 3, 1, 1)
    loss, scale = global_point_loss((points - shift) / scales.view(-1, 1, 1, 1), points, mask, 8)
    torch.testing.assert_close(scale, scales)
    torch.testing.assert_close(loss, torch.zeros(2), atol=1e-6, rtol=0)


def test_an_image_without_labels_gives_finite_losses_without_gradient():
    outputs = dict(
        points=torch.randn(1, 3, 12, 16).requires_grad_(),
        normals=torch.randn(1, 3, 12, 16),
        mask=torch.full((1, 1, 12, 16), 0.5),
        metric_scale=torch.tensor([2.0]),
    )
    nothing = torch.zeros(1, 3, 12, 16)
    loss = MoGeLoss(align_resolution=4)
    mask = torch.zeros(1, 12, 16, dtype=torch.bool)
    losses = loss(outputs, nothing, mask, mask, nothing, torch.eye(3)[None])
    assert {'loss_patch_4', 'loss_patch_16'} <= losses.keys()
    assert all(value.item() == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert not outputs['points'].grad.any()


def test_the_mask_learns_the_sky_and_not_what_is_unknown():
    torch.manual_seed(0)
    outputs = dict(
        points=torch.randn(1, 3, 4, 6),
        normals=torch.randn(1, 3, 4, 6),
        mask=torch.full((1, 1, 4, 6), 0.25),
        metric_scale=torch.tensor([2.0]),
    )
    points = torch.rand(1, 3, 4, 6) + 1
    row = torch.arange(4).view(1, 4, 1).expand(1, 4, 6)
    loss = MoGeLoss(align_resolution=4, patch_levels=(), mask_weight=1.0)
    losses = loss(outputs, points, row == 0, row > 1, torch.zeros_like(points), torch.eye(3)[None])
    # A quarter of the pixels is finite, a quarter not known, half of them sky.
    expected = -(math.log(0.25) + 2 * math.log(0.75)) / 4
    assert losses['loss_mask'].item() == pytest.approx(expected, rel=1e-5)


def test_cells_take_their_nearest_valid_pixel():
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    mask[0, 0, 0] = mask[0, 4, 1] = mask[0, 5, 5] = True
    index, valid = nearest_valid_pixels(mask, 2)
    assert valid.tolist() == [[True, False, True, True]]
    assert index[valid].tolist() == [0, 4 * 6 + 1, 35]
