import numpy as np
import pytest
import torch

from depth.models.layers import (
    back_project,
    project_points,
    sample_pixels,
    synthesize_view,
    transform_points,
)

HEIGHT, WIDTH = 6, 40
K = torch.tensor([[[30.0, 0, 18.5], [0, 28.0, 2.5], [0, 0, 1]]])


def shift(x):
    transform = torch.eye(4)[None]
    transform[0, 0, 3] = x
    return transform


@pytest.mark.parametrize('baseline', [-0.5, 0.5])
def test_a_rectified_pair_shifts_columns_by_the_disparity(baseline):
    torch.manual_seed(0)
    # An image that says where it was sampled.
    columns = torch.arange(WIDTH).float().expand(1, 1, HEIGHT, WIDTH)
    depth = torch.rand(1, 1, HEIGHT, WIDTH) * 8 + 2
    actual = synthesize_view(columns, depth, K, shift(baseline))
    expected = (columns + 30.0 * baseline / depth).clamp(0, WIDTH - 1)
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-5)
    rows = torch.arange(HEIGHT).float()[:, None].expand(1, 1, HEIGHT, WIDTH)
    torch.testing.assert_close(
        synthesize_view(rows, depth, K, shift(baseline)), rows, rtol=0, atol=2e-5
    )


def test_corners_are_pixel_centres():
    image = torch.arange(HEIGHT * WIDTH).float().view(1, 1, HEIGHT, WIDTH)
    pixels = torch.tensor(
        [
            [
                [
                    [0.0, 0.0],
                    [WIDTH - 1, 0],
                    [0, HEIGHT - 1],
                    [WIDTH - 1, HEIGHT - 1],
                    [3.5, 0],
                    [-9, 99],
                ]
            ]
        ]
    )
    corners = [0, WIDTH - 1, (HEIGHT - 1) * WIDTH, HEIGHT * WIDTH - 1, 3.5, (HEIGHT - 1) * WIDTH]
    torch.testing.assert_close(
        sample_pixels(image, pixels)[0, 0, 0], torch.tensor(corners), rtol=0, atol=1e-3
    )


def test_other_principal_points_are_taken_into_account():
    other = K.clone()
    other[0, 0, 2] += 3.0
    columns = torch.arange(WIDTH).float().expand(1, 1, HEIGHT, WIDTH)
    actual = synthesize_view(columns, torch.full((1, 1, HEIGHT, WIDTH), 5.0), K, shift(-0.5), other)
    expected = (columns - 30.0 * 0.5 / 5 + 3).clamp(0, WIDTH - 1)
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-5)


def test_general_motion_agrees_with_homogeneous_coordinates():
    rng = np.random.RandomState(0)
    angle = 0.1
    motion = np.eye(4)
    motion[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    motion[:3, 3] = rng.randn(3) * 0.3
    depth = rng.rand(HEIGHT, WIDTH) * 5 + 2
    calibration = K[0].double().numpy()
    points = back_project(torch.from_numpy(depth)[None, None], K.double())
    moved = transform_points(points, torch.from_numpy(motion)[None])
    actual = project_points(moved, K.double())[0].numpy()
    for row, column in ((0, 0), (3, 17), (5, 39)):
        ray = np.linalg.inv(calibration) @ [column, row, 1]
        point = motion @ [*(ray * depth[row, column]), 1]
        pixel = calibration @ point[:3]
        np.testing.assert_allclose(actual[row, column], pixel[:2] / pixel[2], rtol=1e-9)


def test_points_behind_the_camera_and_missing_depth_give_finite_values_and_gradients():
    image = torch.rand(1, 3, HEIGHT, WIDTH)
    depth = torch.zeros(1, 1, HEIGHT, WIDTH, requires_grad=True)
    backwards = torch.eye(4)[None]
    backwards[0, 2, 3] = -5.0
    for transform in (backwards, shift(-0.5)):
        view = synthesize_view(image, depth, K, transform)
        view.sum().backward()
        assert torch.isfinite(view).all()
        assert torch.isfinite(depth.grad).all()
