"""NeWCRFs head: window fully-connected conditional random fields, from coarse to fine.

Reference: Neural Window Fully-connected CRFs, https://arxiv.org/abs/2203.01502
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import window_partition, window_reverse
from torch import Tensor, nn

from depth.registry import MODELS

from .regression_head import RegressionHead

MASKED = -100.0  # added to potentials between pixels that are no neighbours, as in Swin


class WindowCRFAttention(nn.Module):
    """Window attention with pairwise potentials from one map and values from another.

    Unlike in self-attention the values are not projected before they are averaged.

    Args:
        dim: Channels C.
        num_heads: Heads; divides ``dim``.
        window_size: Rows and columns of a window.
    """

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qk = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * window_size - 1) ** 2, num_heads)
        )
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        index = relative_position_index(window_size)
        self.register_buffer('relative_position_index', index, persistent=False)

    def forward(self, feat: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the messages (N * W, L, C) of N images with W windows of L pixels.

        Args:
            feat: (N * W, L, C), projected to queries and keys.
            value: (N * W, L, C), averaged by the potentials.
            mask: (W, L, L), added to the potentials; None for windows that are not shifted.
        """
        count, length, dim = feat.shape
        query, key = self.qk(feat).view(count, length, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        # (N * W, heads, L, C / heads)
        value = value.reshape(count, length, self.num_heads, -1).transpose(1, 2)
        # Queries are scaled before the product, which cannot overflow in half precision then.
        # (N * W, heads, L, L)
        potential = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        potential = potential + self.relative_position_bias_table[
            self.relative_position_index
        ].permute(2, 0, 1)
        if mask is not None:
            per_image = potential.view(-1, mask.shape[0], self.num_heads, length, length)
            potential = (per_image + mask.unsqueeze(1)).view_as(potential)
        message = potential.softmax(dim=-1).to(value.dtype) @ value
        return self.proj(message.transpose(1, 2).reshape(count, length, dim))


class CRFBlock(nn.Module):
    """Transformer block of NeWCRFs: window attention and feed-forward layer, pre-norm.

    Args:
        dim: Channels C.
        num_heads: Heads; divides ``dim``.
        window_size: Rows and columns of a window.
        shift: Offset of the windows to the bottom and right, in pixels.
        mlp_ratio: Hidden channels of the feed-forward layer, in units of C.
    """

    def __init__(
        self, dim: int, num_heads: int, window_size: int, shift: int, mlp_ratio: int = 4
    ) -> None:
        super().__init__()
        self.window_size, self.shift = window_size, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowCRFAttention(dim, num_heads, window_size)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.ModuleDict(
            dict(fc1=nn.Linear(dim, mlp_ratio * dim), fc2=nn.Linear(mlp_ratio * dim, dim))
        )

    def forward(self, feat: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """Map ``feat`` and ``value`` (N, h, w, C) to (N, h, w, C).

        ``mask`` is used by shifted blocks only.
        """
        feat = feat + self._pass_messages(self.norm1(feat), value, mask)
        return feat + self.mlp['fc2'](F.gelu(self.mlp['fc1'](self.norm2(feat))))

    def _pass_messages(self, feat: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        height, width = feat.shape[1:3]
        windows = self.attn(self._split(feat), self._split(value), mask if self.shift else None)
        size = self.window_size
        padded_height = height + -height % size
        padded_width = width + -width % size
        windows = windows.view(-1, size, size, windows.shape[-1])
        result = window_reverse(windows, (size, size), padded_height, padded_width)
        if self.shift:
            result = result.roll((self.shift, self.shift), dims=(1, 2))
        return result[:, :height, :width]

    def _split(self, feat: Tensor) -> Tensor:
        """Pad (N, h, w, C) to whole windows, shift it, and split it into (N * W, L, C)."""
        feat = pad_to_windows(feat, self.window_size)
        if self.shift:
            feat = feat.roll((-self.shift, -self.shift), dims=(1, 2))
        return window_partition(feat, (self.window_size, self.window_size)).flatten(1, 2)


class WindowCRF(nn.Module):
    """Decoder level of NeWCRFs: coarser result as values, backbone level for the potentials.

    Args:
        in_channels: Channels of the backbone's level.
        value_channels: Channels of the coarser result.
        dim: Channels C inside and of the result.
        num_heads: Heads; divides ``dim``.
        window_size: Rows and columns of a window.
        depth: Blocks, every second one shifted by half a window; all take the same value.
    """

    def __init__(
        self,
        in_channels: int,
        value_channels: int,
        dim: int,
        num_heads: int,
        window_size: int = 7,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.proj_x = _conv(in_channels, dim)
        self.proj_v = _conv(value_channels, dim)
        blocks = [
            CRFBlock(dim, num_heads, window_size, (index % 2) * (window_size // 2))
            for index in range(depth)
        ]
        self.crf_layer = nn.ModuleDict(dict(blocks=nn.ModuleList(blocks)))
        self.norm_crf = nn.LayerNorm(dim)

    def forward(self, feat: Tensor, value: Tensor) -> Tensor:
        """Map ``feat`` (N, C1, h, w) and ``value`` (N, C2, h, w) to (N, C, h, w)."""
        feat = self.proj_x(feat).permute(0, 2, 3, 1)
        value = self.proj_v(value).permute(0, 2, 3, 1)
        mask = shift_mask(feat, self.window_size)
        # All blocks of a level take the same value.
        for block in self.crf_layer['blocks']:
            feat = block(feat, value, mask)
        return self.norm_crf(feat).permute(0, 3, 1, 2).contiguous()


def _conv(before: int, after: int) -> nn.Module:
    return nn.Identity() if before == after else nn.Conv2d(before, after, kernel_size=3, padding=1)


def relative_position_index(window_size: int) -> Tensor:
    """Return the row of the bias table for every pair of pixels of a window, (L, L)."""
    rows, columns = torch.meshgrid(
        torch.arange(window_size), torch.arange(window_size), indexing='ij'
    )
    rows, columns = rows.flatten(), columns.flatten()
    # Differences from -(window_size - 1) to window_size - 1, moved to start at zero.
    row_offsets = rows[:, None] - rows + window_size - 1
    column_offsets = columns[:, None] - columns + window_size - 1
    return row_offsets * (2 * window_size - 1) + column_offsets


def pad_to_windows(feat: Tensor, window_size: int) -> Tensor:
    """Pad (N, h, w, C) with zeros at the right and bottom to whole windows."""
    height, width = feat.shape[1:3]
    return F.pad(feat, (0, 0, 0, -width % window_size, 0, -height % window_size))


def shift_mask(feat: Tensor, window_size: int) -> Tensor:
    """Return the additive mask (W, L, L) of shifted windows for a map (N, h, w, C).

    After the shift the last windows hold pixels from opposite borders of the padded map; these are
    no neighbours.
    """
    shift = window_size // 2
    bands = []  # 0, 1 or 2 for every row and for every column
    for length in feat.shape[1:3]:
        padded = length + -length % window_size
        index = torch.arange(padded, device=feat.device)
        bands.append((index >= padded - window_size).long() + (index >= padded - shift).long())
    regions = bands[0][:, None] * 3 + bands[1]
    # (W, L)
    windows = window_partition(regions[None, :, :, None], (window_size, window_size)).flatten(1)
    is_masked = windows[:, None, :] != windows[:, :, None]
    return torch.zeros_like(is_masked, dtype=feat.dtype).masked_fill(is_masked, MASKED)


@MODELS.register_module()
class NeWCRFsHead(RegressionHead):
    """NeWCRFs head: four levels of window CRFs, from coarse to fine.

    Between two levels a result is rearranged to twice the size and a quarter of the channels; a row
    or column that an odd level lacks is cut off at the bottom or right, where the backbone had
    padded. Any image size works.

    Args:
        in_channels: Channels of the maps, finest first; the last one is the pooled map, whose
            values start the coarsest level.
        crf_dims: Channels of the levels, finest first; multiples of 4.
        num_heads: Heads of the levels, finest first.
        window_size: Rows and columns of a window.
        depth_per_level: Blocks of each level, every second one shifted.
        align_corners: Convention of the final resize.
        **kwargs: ``scale_up``, depth range and ``loss_decode``, see :class:`RegressionHead`.

    Raises:
        ValueError: If the lists do not fit each other.

    Reference: Neural Window Fully-connected CRFs, https://arxiv.org/abs/2203.01502
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (192, 384, 768, 1536, 512),
        crf_dims: Sequence[int] = (128, 256, 512, 1024),
        num_heads: Sequence[int] = (4, 8, 16, 32),
        window_size: int = 7,
        depth_per_level: int = 2,
        align_corners: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(crf_dims[0], align_corners=align_corners, **kwargs)
        if not len(in_channels) - 1 == len(crf_dims) == len(num_heads):
            raise ValueError(
                'NeWCRFsHead: crf_dims and num_heads have one entry a level and in_channels one '
                'more, for the pooled '
                f'map; got {list(crf_dims)}, {list(num_heads)} and {list(in_channels)}'
            )
        if any(dim % heads or dim % 4 for dim, heads in zip(crf_dims, num_heads, strict=True)):
            raise ValueError(
                f'NeWCRFsHead: crf_dims {list(crf_dims)} must be multiples of num_heads '
                f'{list(num_heads)} and of 4'
            )
        self.in_channels = list(in_channels)
        # A coarser result arrives with a quarter of its channels, the pooled map as it is.
        value_channels = [dim // 4 for dim in crf_dims[1:]] + [in_channels[-1]]
        for index, dim in enumerate(crf_dims):
            level = WindowCRF(
                in_channels[index],
                value_channels[index],
                dim,
                num_heads[index],
                window_size,
                depth_per_level,
            )
            self.add_module(f'crf{index}', level)

    def forward(
        self, feats: Sequence[Tensor], data_samples: list | None = None
    ) -> dict[str, Tensor]:
        """Map levels (N, C, h, w), finest first, and the pooled map to ``depth`` (N, 1, h, w)."""
        levels, value = feats[:-1], feats[-1]
        for index in reversed(range(len(levels))):
            height, width = levels[index].shape[-2:]
            value = value[:, :, :height, :width]  # a doubled map is one too large for an odd level
            value = getattr(self, f'crf{index}')(levels[index], value)
            if index > 0:
                value = F.pixel_shuffle(value, 2)  # (N, C, h, w) to (N, C / 4, 2 h, 2 w)
        return dict(depth=self.regress(value))
