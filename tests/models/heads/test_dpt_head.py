import pytest
import torch

from depth.models.heads import DPTHead
from depth.models.heads.dpt_head import PreActResidual, Reassemble

TINY = dict(in_channels=(8,) * 4, post_process_channels=(2, 3, 4, 5), channels=6)


def blocks(height, width, count=2):
    return [(torch.randn(count, 8, height, width), torch.randn(count, 8)) for _ in range(4)]


@pytest.mark.parametrize(
    ('grid', 'size'), [((2, 4), (32, 64)), ((3, 5), (64, 96)), ((1, 1), (32, 32))]
)
def test_depth_has_the_image_size_rounded_up_and_starts_where_told(grid, size):
    torch.manual_seed(0)
    head = DPTHead(**TINY)
    head.init_depth_bias(4.0)
    depth = head(blocks(*grid))['depth']
    assert depth.shape == (2, 1, *size)
    assert (depth - 4).abs().max() < 0.2


def test_levels_are_four_two_one_and_half_of_the_grid():
    maps = Reassemble(8, (2, 3, 4, 5))(blocks(3, 4))
    assert [tuple(feat.shape[1:]) for feat in maps] == [
        (2, 12, 16),
        (3, 6, 8),
        (4, 3, 4),
        (5, 2, 2),
    ]


def test_the_class_token_is_read_out_as_asked():
    feats = blocks(2, 2)
    changed = [(feat, token + 1) for feat, token in feats]
    torch.manual_seed(0)
    ignore, add, project = (
        Reassemble(8, (2, 3, 4, 5), readout) for readout in ('ignore', 'add', 'project')
    )
    for before, after in zip(ignore(feats), ignore(changed), strict=True):
        assert torch.equal(before, after)
    shifted = [(feat + token[:, :, None, None], token) for feat, token in feats]
    ignore.load_state_dict(add.state_dict())
    for added, expected in zip(add(feats), ignore(shifted), strict=True):
        torch.testing.assert_close(added, expected)
    assert not any(torch.equal(a, b) for a, b in zip(project(feats), project(changed), strict=True))


def test_the_residual_is_taken_before_the_activation_and_left_untouched():
    unit = PreActResidual(3)
    for parameter in unit.parameters():
        torch.nn.init.zeros_(parameter)
    feat = torch.randn(1, 3, 4, 4)
    before = feat.clone()
    assert torch.equal(unit(feat), before)
    assert torch.equal(feat, before)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(readout='concat'), "'project', 'add', 'ignore', got 'concat'"),
        (dict(post_process_channels=(2, 3, 4)), r'four blocks, got 3 entries in \[2, 3, 4\]'),
        (dict(in_channels=(8, 8, 8)), r'same width four times, got \[8, 8, 8\]'),
    ],
)
def test_wrong_arguments_are_answered_in_words(change, message):
    with pytest.raises(ValueError, match=message):
        DPTHead(**TINY | change)


def test_maps_without_class_tokens_are_refused():
    head = DPTHead(**TINY)
    with pytest.raises(ValueError, match=r'set backbone\.class_token=True'):
        head([feat for feat, _ in blocks(2, 2)])
