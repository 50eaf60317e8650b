"""MoGe's losses on local patches against loops over anchors, points and candidates."""

import numpy as np
import pytest
import torch

from depth.models.layers.surface_normals import back_project
from depth.models.losses import align_points_freely, patch_point_loss
from depth.models.losses.moge_patch_loss import (
    draw_anchors,
    loss_at_anchors,
    patch_radius,
    radius_in_space,
)
from depth.registry import MODELS

FOCAL = 20.0
CAMERA = torch.tensor([[FOCAL, 0, 11.5], [0, FOCAL, 8.5], [0, 0, 1]])[None]


def scene(seed=0, size=(18, 24)):
    """Return predicted and labelled points (1, 3, H, W) of a step with noise, and a mask with holes."""
    generator = torch.Generator().manual_seed(seed)
    depth = 2 + 0.3 * torch.rand(1, 1, *size, generator=generator)
    depth[..., size[1] // 2 :] += 3
    target = back_project(depth, CAMERA)
    pred = 0.5 * target + 0.1 * torch.rand(target.shape, generator=generator)
    return pred, target, torch.rand(1, *size, generator=generator) > 0.1


def aligned_by_trial(pred, target, weight, truncation=1.0):
    """Return scale and shift of the best of all anchors and ratios of points (L, 3)."""
    best, result = np.inf, (0.0, np.zeros(3))
    usable = np.flatnonzero(weight > 0)
    for anchor in usable:
        moved_pred, moved_target = pred - pred[anchor], target - target[anchor]
        runs, rises = moved_pred[usable].ravel(), moved_target[usable].ravel()
        for scale in rises[np.abs(runs) > 1e-7] / runs[np.abs(runs) > 1e-7]:
            errors = weight[:, None] * np.abs(scale * moved_pred - moved_target)
            error = np.minimum(errors, truncation)[usable].sum()
            if error < best:
                best, result = error, (scale, target[anchor] - scale * pred[anchor])
    return result


@pytest.mark.parametrize('truncation', [1.0, np.inf])
def test_the_free_alignment_is_the_best_of_all_candidates(truncation):
    generator = torch.Generator().manual_seed(1)
    pred = torch.randn(2, 3, 9, generator=generator)
    target = 1.7 * pred + torch.tensor([1.0, -2.0, 3.0]).view(3, 1)
    target = target + 0.3 * torch.randn(2, 3, 9, generator=generator)
    target[:, :, 4] += 5  # an outlier
    weight = torch.rand(2, 9, generator=generator)
    weight[:, 2] = 0
    limit = None if truncation == np.inf else truncation
    scale, shift = align_points_freely(pred, target, weight, limit)
    for image in range(2):
        expected_scale, expected_shift = aligned_by_trial(
            pred[image].T.numpy().astype(float),
            target[image].T.numpy().astype(float),
            weight[image].numpy(),
            truncation,
        )
        assert scale[image].item() == pytest.approx(expected_scale, rel=1e-4)
        assert shift[image].tolist() == pytest.approx(expected_shift.tolist(), rel=1e-3)


def test_the_loss_is_that_of_a_loop_over_the_patches():
    pred, target, mask = scene()
    # Cells of one pixel: a patch is aligned on all of its points.
    level, side, align_resolution = 2, 7, 7
    radius_px = side // 2
    radius = 1.5 * radius_in_space(target, CAMERA, level)
    anchors = torch.tensor([[0, 24 * 9 + 11, 24 * 8 + 4, 24 * 10 + 18, 24 * 17 + 23]])
    mask.view(1, -1)[0, anchors[0]] = True
    whole_scale = torch.tensor([2.0])
    loss = loss_at_anchors(
        pred, target, mask, radius, whole_scale, anchors, radius_px, align_resolution
    )

    points = target[0].permute(1, 2, 0).numpy().astype(float)
    predicted = pred[0].permute(1, 2, 0).numpy().astype(float)
    valid = mask[0].numpy()
    nearest = 0.1 * valid.sum() / (1 / points[valid][:, 2]).sum()
    errors, num_patches = [], 0
    for anchor in anchors[0].tolist():
        row, column = divmod(anchor, 24)
        reach = 1.5 * 0.5 / level * np.hypot(24 / FOCAL, 18 / FOCAL) * points[row, column, 2]
        inside = []
        for i in range(side):
            for j in range(side):
                y, x = row + i - radius_px, column + j - radius_px
                if not (0 <= y < 18 and 0 <= x < 24 and valid[y, x]):
                    continue
                if np.linalg.norm(points[y, x] - points[row, column]) <= reach:
                    inside.append((y, x))
        if len(inside) < 32:
            errors.append(0.0)
            continue
        num_patches += 1
        rows, columns = np.array(inside).T
        scale, shift = aligned_by_trial(
            predicted[rows, columns], points[rows, columns], np.full(len(rows), 1 / reach)
        )
        assert 0.1 < scale / 2 < 10
        total = 0.0
        for y, x in inside:
            error = np.abs(scale * predicted[y, x] + shift - points[y, x])
            total += error.sum() / max(points[y, x, 2], nearest)
        errors.append(total / (3 * side**2))
    assert 2 <= num_patches < len(errors)  # border and edge cut the others
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_each_patch_has_a_scale_and_a_shift_of_its_own():
    _, target, mask = scene()
    moved = 0.5 * target + torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    # Beyond the edge the map has another scale: one alignment of the whole map cannot fit both.
    moved[..., 12:] = 0.8 * target[..., 12:] - 1
    moved.requires_grad_()
    loss = patch_point_loss(moved, target, mask, CAMERA, torch.tensor([2.0]), 4, 6)
    loss.sum().backward()
    assert loss.item() < 1e-5
    assert moved.grad.isfinite().all()
    noisy = target + 0.1 * torch.randn(target.shape)
    assert patch_point_loss(noisy, target, mask, CAMERA, torch.tensor([1.0]), 4, 6) > 1e-3


@pytest.mark.parametrize('whole_scale', [0.0, 0.1, 40.0])
def test_a_patch_far_from_the_scale_of_the_map_does_not_count(whole_scale):
    pred, target, mask = scene()
    loss = patch_point_loss(pred, target, mask, CAMERA, torch.tensor([whole_scale]), 4, 6)
    assert loss.item() == 0


def test_anchors_favour_points_with_few_neighbours():
    torch.manual_seed(0)
    target = back_project(torch.full((1, 1, 18, 24), 4.0), CAMERA)
    target[..., 8:10, 11:13] /= 4  # a small thing near the camera
    mask = torch.ones(1, 18, 24, dtype=torch.bool)
    mask[:, :, 20:] = False
    radius = radius_in_space(target, CAMERA, 4)
    radius_px = patch_radius((18, 24), 4)
    assert radius_px == 4  # half of a quarter of 30
    assert radius[0, 9, 12].item() == pytest.approx(0.5 / 4 * 30 / FOCAL * 1.0)
    anchors = draw_anchors(target, mask, radius, radius_px, 4000)[0]
    rows, columns = anchors // 24, anchors % 24
    assert (columns < 20).all()
    share = ((rows >= 8) & (rows < 10) & (columns >= 11) & (columns < 13)).float().mean()
    assert share > 3 * 4 / (18 * 20)


def test_an_image_without_labels_has_no_loss():
    pred, target, mask = scene()
    pred.requires_grad_()
    loss = patch_point_loss(pred, 0 * target, torch.zeros_like(mask), CAMERA, torch.zeros(1), 4, 6)
    loss.sum().backward()
    assert loss.item() == 0
    assert not pred.grad.any()


def test_levels_are_checked():
    with pytest.raises(ValueError, match='patch_levels'):
        MODELS.build(dict(type='MoGeLoss', patch_levels=(4, 0)))
