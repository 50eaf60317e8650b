"""Sine position encoding of feature maps."""

import math

import torch
from torch import Tensor, nn


class SinePositionEncoding(nn.Module):
    """Fixed two-dimensional sine encoding, y features first.

    Args:
        num_feats: Features of each axis; the encoding has twice as many.
        temperature: Base of the geometric series of wavelengths.
        normalize: Scale rows and columns to (0, 2 pi]; otherwise they are counted from 1.
        eps: Added to the divisor of the normalisation.

    Reference: Attention Is All You Need, https://arxiv.org/abs/1706.03762; two axes as in DETR,
    https://arxiv.org/abs/2005.12872.
    """

    def __init__(
        self,
        num_feats: int,
        temperature: float = 10000.0,
        normalize: bool = False,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.num_feats = num_feats
        self.temperature = temperature
        self.normalize = normalize
        self.eps = eps

    def forward(
        self, size: tuple[int, int], device: torch.device, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Return the encoding (1, 2 * num_feats, h, w) of a map of ``size`` (h, w)."""
        height, width = size
        rows = self._encode_axis(height, device)[:, None, :].expand(-1, width, -1)
        columns = self._encode_axis(width, device)[None, :, :].expand(height, -1, -1)
        return torch.cat([rows, columns], dim=-1).permute(2, 0, 1).unsqueeze(0).to(dtype)

    def _encode_axis(self, length: int, device: torch.device) -> Tensor:
        """Return the features (length, num_feats) of the positions along one axis."""
        position = torch.arange(1, length + 1, dtype=torch.float32, device=device)
        if self.normalize:
            position = position / (length + self.eps) * (2 * math.pi)
        # Sine and cosine of one wavelength are neighbours, hence pairs of equal exponents.
        exponents = 2 * (torch.arange(self.num_feats, device=device) // 2) / self.num_feats
        angles = position[:, None] / self.temperature**exponents
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)
