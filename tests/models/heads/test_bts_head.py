"""BTS: planes against rays worked out one by one, and the head."""

import math

import pytest
import torch

from depth.models.heads.bts_head import BTSHead, PlaneRegression, local_planar_guidance


def test_every_pixel_meets_its_plane():
    torch.manual_seed(0)
    planes = PlaneRegression(5, 8, max_distance=10.0)(torch.randn(2, 5, 2, 3))
    assert planes[:, :3].norm(dim=1).sub(1).abs().max() < 1e-6
    assert planes[:, 2].min() > 0.5  # at most 60 degrees off the axis
    depth = local_planar_guidance(planes, 4)
    assert depth.shape == (2, 1, 8, 12)
    for image, row, column in ((0, 0, 0), (1, 5, 7), (1, 7, 11), (0, 3, 4)):
        n1, n2, n3, distance = planes[image, :, row // 4, column // 4].tolist()
        u, v = (column % 4 - 1.5) / 4, (row % 4 - 1.5) / 4
        x = depth[image, 0, row, column].item()
        assert x * (n1 * u + n2 * v + n3) == pytest.approx(distance, rel=1e-5)


def test_a_plane_that_faces_the_camera_is_flat_and_normals_need_no_unit_length():
    planes = torch.tensor([0.0, 0.0, 3.0, 2.5]).view(1, 4, 1, 1)
    assert torch.allclose(local_planar_guidance(planes, 8), torch.full((1, 1, 8, 8), 2.5))


def test_a_ray_along_its_plane_gives_no_infinite_depth_or_gradient():
    # u runs over -1/4 and 1/4: with n1 = 4 n3 the first ray has a cosine of zero.
    planes = (
        torch.tensor([4 / math.sqrt(17), 0.0, 1 / math.sqrt(17), 2.0])
        .view(1, 4, 1, 1)
        .requires_grad_()
    )
    depth = local_planar_guidance(planes, 2)
    depth.sum().backward()
    assert depth.detach().abs().max() <= 2.0 / 1e-3 * (1 + 1e-6)
    assert torch.isfinite(planes.grad).all()


TINY = dict(in_channels=[4, 6, 8, 10, 12], num_features=32, dilations=(1, 2))


def levels(*sizes):
    return [
        torch.randn(1, channels, *size)
        for channels, size in zip(TINY['in_channels'], sizes, strict=True)
    ]


@pytest.mark.parametrize(
    ('sizes', 'expected'),
    [
        ([(32, 64), (16, 32), (8, 16), (4, 8), (2, 4)], (64, 128)),
        ([(31, 39), (16, 20), (8, 10), (4, 5), (2, 3)], (62, 78)),  # of an image of 61x77
    ],
)
def test_any_size_gives_depth_at_twice_the_finest_level(sizes, expected):
    depth = BTSHead(**TINY, max_depth=80.0)(levels(*sizes))['depth']
    assert depth.shape == (1, 1, *expected)
    assert 0 <= depth.min() < depth.max() <= 80


def test_a_guide_is_cut_out_where_its_pixels_are():
    head = BTSHead(**TINY).eval()
    outputs = []
    for conv in head.convs[2:4]:
        conv.register_forward_hook(lambda _, inputs, output: outputs.append(inputs[0][:, -1]))
    head.planes[0].register_forward_hook(lambda _, inputs, output: outputs.append(output))
    head(levels((32, 64), (16, 32), (8, 16), (4, 8), (2, 4)))
    planes, quarter = outputs[:2]
    full = local_planar_guidance(planes, 8) / head.max_depth
    nearest = torch.nn.functional.interpolate(full, scale_factor=0.25, mode='nearest')
    assert torch.equal(quarter, nearest[:, 0])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(in_channels=[4, 6, 8, 10]), r'five levels, strides 2 to 32, got \[4, 6, 8, 10\]'),
        (dict(num_features=40), 'multiple of 16, got 40'),
    ],
)
def test_wrong_arguments_are_answered_in_words(change, message):
    with pytest.raises(ValueError, match=message):
        BTSHead(**TINY | change)
