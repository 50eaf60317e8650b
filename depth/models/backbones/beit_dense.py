"""BEiT for dense prediction at any image size: relative position bias resized to the patch grid.

Reference: BEiT, https://arxiv.org/abs/2106.08254; the resize is that of MiDaS 3.1,
https://arxiv.org/abs/2307.14460.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models._manipulate import checkpoint
from timm.models.beit import Attention, Beit, gen_relative_position_index
from torch import Tensor

from .vit_dense import resize_position

NUM_CLASS_ROWS = 3  # last rows of a table: class to patch, patch to class, class to class


def make_beit_dense(model: Beit) -> None:
    """Let :func:`beit_blocks` give the relative position bias of every block, in place.

    Raises:
        ValueError: If the blocks share one table.
    """
    if model.rel_pos_bias is not None:
        raise ValueError(
            'ViTBackbone: a BEiT whose blocks share one position bias is not supported'
        )
    model.patch_embed.strict_img_size = False
    for block in model.blocks:
        # timm adds its own bias, of the grid of the pre-training, to the one that a block is given.
        block.attn._get_rel_pos_bias = _zero_bias


def beit_blocks(model: Beit, images: Tensor, indices: Sequence[int]) -> dict[int, Tensor]:
    """Return the tokens (N, 1 + h * w, C) behind the chosen blocks by block number.

    Args:
        model: Changed by :func:`make_beit_dense`.
        images: (N, 3, H, W), H and W multiples of the patch.
        indices: Block numbers.
    """
    grid = model.patch_embed.dynamic_feat_size(images.shape[-2:])
    x = model.patch_embed(images)
    x = torch.cat([model.cls_token.expand(len(x), -1, -1), x], dim=1)
    if model.pos_embed is not None:
        position = resize_position(model.pos_embed[:, 1:], model.patch_embed.grid_size, grid)
        x = x + torch.cat([model.pos_embed[:, :1], position], dim=1)
    x = model.pos_drop(x)
    # One row of the table for every pair of tokens; the same for all blocks.
    entries = gen_relative_position_index(grid, device=x.device).flatten()
    tokens = {}
    for index, block in enumerate(model.blocks):
        bias = relative_position_bias(block.attn, grid, entries)
        if model.grad_checkpointing and model.training:
            x = checkpoint(block, x, shared_rel_pos_bias=bias)
        else:
            x = block(x, shared_rel_pos_bias=bias)
        if index in indices:
            tokens[index] = x
    return tokens


def relative_position_bias(
    attention: Attention, grid: tuple[int, int], entries: Tensor
) -> Tensor | None:
    """Return the bias (1, heads, 1 + h * w, 1 + h * w) of a block, None if it has no table.

    Args:
        attention: With a table ((2 H0 - 1) * (2 W0 - 1) + 3, heads) for a grid of H0 x W0 patches.
        grid: (h, w) of the image's patches; the table's part for pairs of patches is resized to
            (2 h - 1, 2 w - 1), bilinear.
        entries: Row of the resized table for every (query, key), flattened.
    """
    table = attention.relative_position_bias_table
    if table is None:
        return None
    # (heads, 2 H0 - 1, 2 W0 - 1)
    pairs = table[:-NUM_CLASS_ROWS].T.unflatten(
        1, [2 * length - 1 for length in attention.window_size]
    )
    size = tuple(2 * length - 1 for length in grid)
    if pairs.shape[1:] != size:
        resized = F.interpolate(
            pairs[None].float(), size=size, mode='bilinear', align_corners=False
        )
        pairs = resized[0].to(table.dtype)
    # Offsets to and from the class token have no place on the grid and keep their rows.
    table = torch.cat([pairs.flatten(1).T, table[-NUM_CLASS_ROWS:]])
    length = grid[0] * grid[1] + 1
    return table[entries].view(length, length, -1).permute(2, 0, 1).unsqueeze(0)


def _zero_bias() -> float:
    return 0.0
