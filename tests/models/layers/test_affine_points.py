"""Recovery of the camera from point maps that were made with a known one."""

import math

import pytest
import torch

from depth.models.layers.affine_points import (
    focal_from_fov,
    image_plane_coordinates,
    intrinsics_in_pixels,
    recover_focal_and_shift,
)
from depth.models.layers.surface_normals import back_project


def test_focal_and_shift_of_a_back_projected_map_are_found():
    generator = torch.Generator().manual_seed(0)
    depth = 1 + 3 * torch.rand(3, 1, 80, 100, generator=generator)
    focals, shifts = torch.tensor([0.7, 1.4, 2.5]), torch.tensor([-0.3, 0.0, 0.6])
    points = back_project(depth, intrinsics_in_pixels(focals, 80, 100))
    points[:, 2] -= shifts.view(-1, 1, 1)
    mask = torch.rand(3, 1, 80, 100, generator=generator) > 0.3
    points = torch.where(mask, points, 100.0)  # masked points do not count
    focal, shift = recover_focal_and_shift(points, mask)
    torch.testing.assert_close(focal, focals)
    torch.testing.assert_close(shift, shifts, atol=1e-5, rtol=1e-5)
    given_focal = torch.tensor([0.7, torch.nan, 2.5])
    focal, shift = recover_focal_and_shift(points, mask, given_focal)
    torch.testing.assert_close(focal, focals)
    torch.testing.assert_close(shift, shifts, atol=1e-5, rtol=1e-5)


def test_too_few_points_give_the_identity():
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    mask[..., 5, 5] = True
    focal, shift = recover_focal_and_shift(torch.ones(1, 3, 64, 64), mask)
    assert (focal.item(), shift.item()) == (1, 0)


def test_points_of_no_camera_give_a_possible_one():
    plane = image_plane_coordinates(64, 64)
    points = torch.cat([-plane, torch.ones(1, 64, 64)])[None]  # mirrored twice
    focal, shift = recover_focal_and_shift(points, torch.ones(1, 1, 64, 64, dtype=torch.bool))
    assert focal.item() > 0
    assert math.isfinite(shift.item())


def test_units_are_half_diagonals():
    u, v = image_plane_coordinates(30, 40)
    assert v[-1, 0].item() == pytest.approx(0.6 * 29 / 30)
    assert u[0, -1].item() == pytest.approx(0.8 * 39 / 40)
    focal = focal_from_fov(torch.tensor([math.radians(60)]), 40 / 30)
    camera = intrinsics_in_pixels(focal, 30, 40)[0]
    assert camera[0, 0].item() == pytest.approx(20 / math.tan(math.radians(30)))
    assert camera[:2, 2].tolist() == [19.5, 14.5]
