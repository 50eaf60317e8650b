"""Swin for dense prediction at any image size: pad to whole windows first, then shift.

timm shifts before it pads, so at sizes that are no multiple of the window its shifted windows mix
other pixels than the published dense models (Swin Transformer, https://arxiv.org/abs/2103.14030, as
used for detection and segmentation). Weights are the same; only the order of the two steps moves.
"""

import functools
import re
import types

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn

from depth.export_mode import is_exporting, shifted_window_mask
from depth.ops import apply_in_chunks, count_chunks


def make_swin_dense(model: nn.Module) -> None:
    """Make every Swin block of ``model`` pad before it shifts, in place.

    Args:
        model: A timm Swin model created with ``dynamic_img_size=True, always_partition=True``.

    Raises:
        ValueError: If the model has no Swin v1 block.
    """
    blocks = [module for module in model.modules() if isinstance(module, SwinTransformerBlock)]
    if not blocks:
        raise ValueError(
            f'{type(model).__name__} has no Swin (v1) block, it cannot be used with dense windows'
        )
    for block in blocks:
        block._attn = types.MethodType(_padded_window_attention, block)
        block.mlp.forward = types.MethodType(_mlp_in_chunks, block.mlp)
        block.register_buffer('attn_mask', None, persistent=False)
        block.dense_masks = {}


def rename_official_swin(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the original Swin release to timm's names.

    Other states are returned as they are.
    """
    # The release counts a patch merging to the stage before it, timm to the stage after it.
    if not any(name.startswith('layers.0.downsample.') for name in state):
        return state
    return {
        re.sub(r'^layers\.(\d+)\.downsample', _next_stage, name): value
        for name, value in state.items()
    }


def _next_stage(match: re.Match) -> str:
    return f'layers.{int(match[1]) + 1}.downsample'


def _padded_window_attention(self: SwinTransformerBlock, x: Tensor) -> Tensor:
    """Shifted window attention on (N, H, W, C); replaces ``SwinTransformerBlock._attn``."""
    height, width, channels = x.shape[1:]
    rows, columns = self.window_size
    # The first norm came before, so that padding is zero for the attention, too.
    x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
    padded_height, padded_width = x.shape[1:3]
    is_shifted = any(self.shift_size)
    mask = None
    if is_shifted:
        x = torch.roll(x, shifts=[-shift for shift in self.shift_size], dims=(1, 2))
        mask = _shift_mask(self, x)
    # (windows, L, C)
    windows = window_partition(x, self.window_size).view(-1, rows * columns, channels)
    windows = _attend(self, windows, mask).view(-1, rows, columns, channels)
    x = window_reverse(windows, self.window_size, padded_height, padded_width)
    if is_shifted:
        x = torch.roll(x, shifts=tuple(self.shift_size), dims=(1, 2))
    return x[:, :height, :width].contiguous()


def _attend(block: SwinTransformerBlock, windows: Tensor, mask: Tensor | None) -> Tensor:
    """Return the attention of windows (W, L, C) with a mask (W / N, L, L) or None, same shape."""
    num_masks = len(windows) if mask is None else len(mask)
    chunks = count_chunks(windows, num_masks * windows.shape[1])
    if chunks == 1:
        return block.attn(windows, mask=mask)
    result = torch.empty_like(windows)
    step = -(-num_masks // chunks)
    for first in range(0, len(windows), num_masks):  # the windows of an image
        for begin in range(0, num_masks, step):
            end = min(begin + step, num_masks)
            own_mask = None if mask is None else mask[begin:end]
            own = slice(first + begin, first + end)
            result[own] = block.attn(windows[own], mask=own_mask)
    return result


def _mlp_in_chunks(self: Mlp, x: Tensor) -> Tensor:
    """Two layers on tokens (N, L, C); replaces ``Mlp.forward``."""
    return apply_in_chunks(functools.partial(Mlp.forward, self), x)


def _shift_mask(block: SwinTransformerBlock, x: Tensor) -> Tensor:
    """Return the additive mask (windows, L, L) of a shifted map, cached by size and device.

    Between regions it is -10000. With timm's -100 a weight of the softmax is about 1e-44, a
    denormal number, of which a CPU needs more than a hundred cycles for every product; now it is 0.
    """
    if is_exporting():
        return shifted_window_mask(*x.shape[1:3], block.window_size, block.shift_size)
    if torch.compiler.is_compiling() or (x.is_cuda and torch.cuda.is_current_stream_capturing()):
        # A compiled or captured graph computes its own mask: a look-up would compile every size
        # twice, and a captured graph would go on reading a mask that left the cache.
        return block.get_attn_mask(x[:1]) * 100
    key = (*x.shape[1:3], x.device, x.dtype)
    if key not in block.dense_masks:
        if len(block.dense_masks) >= 16:  # bounds the memory when test images have many sizes
            block.dense_masks.clear()
        block.dense_masks[key] = block.get_attn_mask(x[:1]) * 100
    return block.dense_masks[key]
