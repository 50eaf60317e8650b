"""Normals from depth: central differences and planes fitted to what depth there is."""

import numpy as np
import pytest
import torch

from depth.datasets.scenes import render_scene
from depth.models.layers import back_project, normals_from_depth, normals_from_planes

CAMERA = torch.tensor([[[80.0, 0.0, 30.0], [0.0, 70.0, 20.0], [0.0, 0.0, 1.0]]])
NORMAL = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, -0.8]), dim=0)


def plane(distance=3.0, size=(40, 60)):
    """Return the depth of the plane with NORMAL at ``distance``, which faces the camera."""
    rays = back_project(torch.ones(1, 1, *size), CAMERA)
    return -distance / (rays * NORMAL.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def degrees(normals, target):
    """Return the angle between unit vectors; half a chord's arcsine, as an arccosine blurs small angles."""
    chord = (normals.double() - target.double()).norm(dim=1, keepdim=True)
    return torch.rad2deg(2 * torch.arcsin((chord / 2).clamp(max=1)))


def expected(size=(40, 60)):
    return NORMAL.view(1, 3, 1, 1).expand(1, 3, *size)


def test_both_ways_find_a_plane():
    assert degrees(normals_from_depth(plane(), CAMERA), expected()).max() < 0.1
    normals, valid = normals_from_planes(plane(), CAMERA)
    assert valid.all()
    assert degrees(normals, expected()).max() < 0.01


@pytest.mark.parametrize('share', [0.5, 0.1])
def test_sparse_points_of_a_plane_are_enough(share):
    generator = torch.Generator().manual_seed(0)
    depth = plane() * (torch.rand(1, 1, 40, 60, generator=generator) < share)
    normals, valid = normals_from_planes(depth, CAMERA, window=9)
    assert valid.sum() > 0.9 * (depth > 0).sum()
    assert not valid[depth == 0].any()
    assert degrees(normals, expected())[valid].max() < 0.05


def test_a_single_scan_line_has_no_normal():
    depth = torch.zeros(1, 1, 40, 60)
    depth[:, :, 20] = plane()[:, :, 20]
    assert not normals_from_planes(depth, CAMERA)[1].any()
    assert not normals_from_planes(torch.zeros(1, 1, 40, 60), CAMERA)[1].any()


def test_an_edge_of_depth_has_no_normal_and_its_surroundings_do():
    depth = torch.full((1, 1, 40, 60), 2.0)
    depth[..., 30:] = 3.0
    normals, valid = normals_from_planes(depth, CAMERA, window=5)
    assert not valid[..., 29:31].any()
    assert valid[..., :28].all() and valid[..., 32:].all()
    assert torch.allclose(
        normals[..., :28], torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1), atol=1e-5
    )


def test_fits_are_those_of_numpy():
    """Noisy depth with holes: inverse depth over pixel places, one window at a time."""
    rng = np.random.RandomState(0)
    depth = (
        plane()
        * torch.from_numpy(
            (1 + 0.002 * rng.randn(1, 1, 40, 60)) * (rng.rand(1, 1, 40, 60) < 0.7)
        ).float()
    )
    normals, valid = normals_from_planes(depth, CAMERA, window=7)
    for v, u in ((0, 0), (5, 17), (20, 30), (39, 59), (12, 58)):
        rows, columns = np.mgrid[
            max(v - 3, 0) : min(v + 4, 40), max(u - 3, 0) : min(u + 4, 60)
        ].reshape(2, -1)
        stored = depth[0, 0].double().numpy()[rows, columns]
        rows, columns, stored = rows[stored > 0], columns[stored > 0], stored[stored > 0]
        rays = np.stack([(columns - 30) / 80, (rows - 20) / 70, np.ones(len(rows))], axis=1)
        solved = np.linalg.lstsq(rays, 1 / stored, rcond=None)[0]
        actual = normals[0, :, v, u].numpy()
        assert np.allclose(actual, -solved / np.linalg.norm(solved), atol=1e-4)
        assert valid[0, 0, v, u] == (depth[0, 0, v, u] > 0)


@pytest.mark.parametrize('world', ['rooms', 'streets'])
def test_fitted_normals_of_rendered_scenes(world):
    scene = render_scene(
        world=world,
        seed=0,
        split='train',
        index=3,
        image_size=(96, 128),
        noise=0,
        stereo=False,
        lidar=False,
    )
    depth, normals = (
        torch.from_numpy(scene['gt_depth'])[None, None],
        torch.from_numpy(scene['normals']),
    )
    intrinsics = torch.tensor(scene['cam_intrinsic'], dtype=torch.float32)[None]
    actual, valid = normals_from_planes(depth, intrinsics, window=5)
    errors = degrees(actual, normals.permute(2, 0, 1)[None])[valid]
    assert valid.sum() > 0.8 * (depth > 0).sum()
    assert errors.median() < 0.1 and errors.mean() < 2
