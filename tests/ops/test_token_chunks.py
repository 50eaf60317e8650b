"""Layers that process tokens in chunks where no gradients are computed on a CPU."""

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch import nn

from depth.models.backbones.swin_dense import make_swin_dense
from depth.ops import apply_in_chunks, count_chunks, token_chunks


def test_chunks_are_of_a_thousand_tokens_without_gradients():
    tokens = torch.zeros(1)
    with torch.no_grad():
        assert [count_chunks(tokens, number) for number in (0, 1023, 2047, 2048, 6300)] == [
            1,
            1,
            1,
            2,
            6,
        ]
        assert count_chunks(torch.zeros(1, device='meta'), 6300) == 1
    assert count_chunks(tokens, 6300) == 1


@pytest.mark.parametrize('limit', [1, 7, 100])
@pytest.mark.parametrize('shape', [(2, 15, 4), (1, 3, 10, 4), (0, 4)])
def test_all_tokens_pass_the_layers_once(shape, limit, monkeypatch):
    monkeypatch.setattr(token_chunks, 'TOKENS', limit)
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 5))
    tokens = torch.randn(shape)
    sizes = []
    layers.register_forward_hook(lambda module, args, output: sizes.append(args[0].numel() // 4))
    expected = layers(tokens)
    with torch.no_grad():
        actual = apply_in_chunks(layers, tokens)
    torch.testing.assert_close(actual, expected.detach())
    assert sum(sizes[1:]) == sizes[0]
    assert len(sizes) == 1 + max(sizes[0] // limit, 1)


@pytest.mark.parametrize('shift', [0, 2])
def test_windows_in_chunks_give_what_all_at_once_give(shift, monkeypatch):
    """Two images, padded, and chunks that divide neither the windows nor the tokens."""
    torch.manual_seed(0)
    block = SwinTransformerBlock(
        8, (16, 16), num_heads=2, window_size=4, shift_size=shift, always_partition=True
    )
    make_swin_dense(nn.Sequential(block))
    nn.init.normal_(block.attn.relative_position_bias_table)
    image = torch.randn(2, 11, 18, 8)
    expected = block(image)
    monkeypatch.setattr(token_chunks, 'TOKENS', 33)
    sizes = []
    block.attn.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    with torch.no_grad():
        actual = block(image)
    torch.testing.assert_close(actual, expected.detach())
    assert sum(sizes) == 2 * 15
    assert len(sizes) > 4
    assert block(image).requires_grad
    assert sizes[-1] == 2 * 15
