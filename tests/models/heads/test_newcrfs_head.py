import pytest
import torch

from depth.models.heads import NeWCRFsHead

TINY = dict(in_channels=(6, 8, 10, 12, 4), crf_dims=(4, 8, 12, 16), num_heads=(1, 2, 3, 4), window_size=4)


def levels(*sizes):
    return [torch.randn(1, channels, *size) for channels, size in zip(TINY['in_channels'], sizes, strict=True)]


@pytest.mark.parametrize(
    'sizes', [[(16, 24), (8, 12), (4, 6), (2, 3), (2, 3)], [(13, 17), (7, 9), (4, 5), (2, 3), (2, 3)], [(1, 1)] * 5]
)
def test_depth_has_the_finest_level_size_and_starts_where_told(sizes):
    torch.manual_seed(0)
    head = NeWCRFsHead(**TINY)
    head.init_depth_bias(4.0)
    depth = head(levels(*sizes))['depth']
    assert depth.shape == (1, 1, *sizes[0])
    assert (depth - 4).abs().max() < 0.2


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(crf_dims=(4, 8, 12)), r'one entry a level and in_channels one more.*\[4, 8, 12\]'),
        (dict(num_heads=(1, 2, 5, 4)), r'crf_dims \[4, 8, 12, 16\] must be multiples of num_heads \[1, 2, 5, 4\]'),
        (dict(crf_dims=(4, 8, 12, 18), num_heads=(1, 2, 3, 3)), 'and of 4'),
    ],
)
def test_lists_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        NeWCRFsHead(**TINY | change)


def test_maps_without_the_pooled_one_are_named():
    with pytest.raises(
        ValueError, match=r'decode_head.in_channels is \[6, 8, 10, 12, 4\], the neck gives \[6, 8, 10, 12\]'
    ):
        NeWCRFsHead(**TINY)(levels((4, 4), (2, 2), (1, 1), (1, 1), (1, 1))[:4])
