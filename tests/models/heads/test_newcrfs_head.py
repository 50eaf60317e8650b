import pytest
import torch
from torch.nn import functional as F

from depth.models.heads import NeWCRFsHead
from depth.models.heads.newcrfs_head import (
    CRFBlock,
    WindowCRF,
    relative_position_index,
    shift_mask,
)


def equal_potentials(block):
    """Make every pixel listen to all others of its window alike, and pass on their mean unchanged."""
    for parameter in block.attn.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.eye_(block.attn.proj.weight)
    return block


def test_pairs_of_a_two_by_two_window_have_the_rows_of_swin():
    expected = [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    assert relative_position_index(2).tolist() == expected


def test_equal_potentials_pass_on_the_mean_of_each_window():
    block = equal_potentials(CRFBlock(8, num_heads=2, window_size=4, shift=0))
    value = torch.rand(2, 8, 12, 8)
    messages = block._pass_messages(torch.rand(2, 8, 12, 8), value, shift_mask(value, 4))
    means = F.avg_pool2d(value.permute(0, 3, 1, 2), 4)
    expected = F.interpolate(means, scale_factor=4, mode='nearest').permute(0, 2, 3, 1)
    torch.testing.assert_close(messages, expected)


def test_shifted_windows_do_not_mix_opposite_borders():
    block = equal_potentials(CRFBlock(8, num_heads=2, window_size=4, shift=2))
    value = torch.rand(1, 8, 8, 8)
    messages = block._pass_messages(torch.rand(1, 8, 8, 8), value, shift_mask(value, 4))
    cuts = [slice(0, 2), slice(2, 6), slice(6, 8)]  # the windows, cut where they wrap around
    for rows in cuts:
        for columns in cuts:
            mean = value[:, rows, columns].mean(dim=(1, 2), keepdim=True)
            torch.testing.assert_close(
                messages[:, rows, columns], mean.expand_as(value[:, rows, columns])
            )


@pytest.mark.parametrize('shift', [0, 2])
def test_padding_is_zeros_at_the_right_and_bottom(shift):
    block = equal_potentials(CRFBlock(8, num_heads=2, window_size=4, shift=shift))
    value = torch.rand(1, 5, 7, 8)
    feat = torch.rand(1, 5, 7, 8)
    whole = F.pad(value, (0, 0, 0, 1, 0, 3))
    expected = block._pass_messages(F.pad(feat, (0, 0, 0, 1, 0, 3)), whole, shift_mask(whole, 4))
    actual = block._pass_messages(feat, value, shift_mask(value, 4))
    torch.testing.assert_close(actual, expected[:, :5, :7])


def test_both_blocks_take_the_same_value_and_the_result_is_normalised():
    torch.manual_seed(0)
    level = WindowCRF(6, 3, dim=8, num_heads=2, window_size=4)
    masks = []
    for block in level.crf_layer['blocks']:
        block.register_forward_hook(lambda module, inputs, output: masks.append(inputs[1]))
    result = level(torch.rand(1, 6, 5, 9), torch.rand(1, 3, 5, 9))
    assert len(masks) == 2
    assert masks[0] is masks[1]
    assert [block.shift for block in level.crf_layer['blocks']] == [0, 2]
    assert result.shape == (1, 8, 5, 9)
    torch.testing.assert_close(result.mean(dim=1), torch.zeros(1, 5, 9), atol=1e-5, rtol=0)


def test_equal_channels_need_no_convolution():
    level = WindowCRF(8, 8, dim=8, num_heads=2)
    assert not [name for name, _ in level.named_parameters() if 'proj_' in name]


TINY = dict(
    in_channels=(6, 8, 10, 12, 4), crf_dims=(4, 8, 12, 16), num_heads=(1, 2, 3, 4), window_size=4
)


def levels(*sizes):
    return [
        torch.randn(1, channels, *size)
        for channels, size in zip(TINY['in_channels'], sizes, strict=True)
    ]


@pytest.mark.parametrize(
    'sizes',
    [
        [(16, 24), (8, 12), (4, 6), (2, 3), (2, 3)],
        [(13, 17), (7, 9), (4, 5), (2, 3), (2, 3)],
        [(1, 1)] * 5,
    ],
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
        (
            dict(num_heads=(1, 2, 5, 4)),
            r'crf_dims \[4, 8, 12, 16\] must be multiples of num_heads \[1, 2, 5, 4\]',
        ),
        (dict(crf_dims=(4, 8, 12, 18), num_heads=(1, 2, 3, 3)), 'and of 4'),
    ],
)
def test_lists_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        NeWCRFsHead(**TINY | change)
