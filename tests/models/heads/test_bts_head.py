import pytest
import torch

from depth.models.heads import BTSHead
from depth.models.layers import local_planar_guidance

TINY = dict(in_channels=[4, 6, 8, 10, 12], num_features=32, dilations=(1, 2))


def levels(*sizes):
    return [torch.randn(1, channels, *size) for channels, size in zip(TINY['in_channels'], sizes, strict=True)]


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
    told = []
    for conv in head.convs[2:4]:
        conv.register_forward_hook(lambda _, inputs, output: told.append(inputs[0][:, -1]))
    head.planes[0].register_forward_hook(lambda _, inputs, output: told.append(output))
    head(levels((32, 64), (16, 32), (8, 16), (4, 8), (2, 4)))
    planes, quarter = told[:2]
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


def test_features_that_do_not_fit_are_answered_in_words():
    with pytest.raises(ValueError, match=r'in_channels is \[4, 6, 8, 10, 12\], the backbone gives \[4, 6\]'):
        BTSHead(**TINY)(levels((8, 8), (4, 4), (2, 2), (1, 1), (1, 1))[:2])
