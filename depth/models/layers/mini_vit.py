"""The mini-ViT of AdaBins: bin widths of an image and a map that knows its global context.

Module names are those of the published checkpoints. Reference: AdaBins, https://arxiv.org/abs/2011.14141
"""

from itertools import pairwise

import torch
from torch import Tensor, nn


class PatchTransformer(nn.Module):
    """Patches of a feature map as tokens through a small transformer encoder.

    Args:
        in_channels: Channels C of the map.
        channels: Width E of the tokens.
        patch_size: Side of a patch, in pixels of the map.
        num_layers: Post-norm encoder layers.
        num_heads: Heads of the attentions.
        feedforward_channels: Of the layers.
        dropout: Of all parts of the layers.
        max_tokens: Rows of the position table; not interpolated.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 128,
        patch_size: int = 16,
        num_layers: int = 4,
        num_heads: int = 4,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
        max_tokens: int = 500,
    ) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(channels, num_heads, feedforward_channels, dropout, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.embedding_convPxP = nn.Conv2d(in_channels, channels, patch_size, stride=patch_size)
        self.positional_encodings = nn.Parameter(torch.rand(max_tokens, channels))

    def num_tokens(self, height: int, width: int) -> int:
        """Return how many tokens a map of this size gives."""
        rows, columns = self.embedding_convPxP.stride
        return (height // rows) * (width // columns)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to tokens (N, L, E)."""
        tokens = self.embedding_convPxP(feat).flatten(2).transpose(1, 2)
        return self.transformer_encoder(tokens + self.positional_encodings[: tokens.shape[1]])


class MiniViT(nn.Module):
    """Global context as bin widths (the first token) and as queries (the next ones) that look at every pixel.

    Args:
        in_channels: Channels C of the map.
        num_bins: Bins D.
        num_queries: Queries Q, the channels of the range attention maps.
        channels: Width E of tokens and queries.
        regressor_channels: Width of the regressor of bin widths.
        **kwargs: Of :class:`PatchTransformer`.
    """

    def __init__(
        self,
        in_channels: int,
        num_bins: int = 256,
        num_queries: int = 128,
        channels: int = 128,
        regressor_channels: int = 256,
        **kwargs,
    ) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.patch_transformer = PatchTransformer(in_channels, channels, **kwargs)
        self.conv3x3 = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1)
        layers = []
        for before, after in pairwise((channels, regressor_channels, regressor_channels, num_bins)):
            layers += [nn.Linear(before, after), nn.LeakyReLU()]
        self.regressor = nn.Sequential(*layers[:-1])

    def forward(self, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, h, w) to bin widths (N, D), float32 that sum to 1, and range attention maps (N, Q, h, w).

        Raises:
            ValueError: If the map has too few or too many patches.
        """
        self._check(*feat.shape[-2:])
        tokens = self.patch_transformer(feat)
        queries = tokens[:, 1 : 1 + self.num_queries]
        attention = torch.einsum('nqe,nehw->nqhw', queries, self.conv3x3(feat))
        widths = self.regressor(tokens[:, 0]).float().relu() + 0.1  # no bin is empty
        return widths / widths.sum(dim=1, keepdim=True), attention

    def _check(self, height: int, width: int) -> None:
        most, patch = len(self.patch_transformer.positional_encodings), self.patch_transformer.embedding_convPxP.stride
        found = self.patch_transformer.num_tokens(height, width)
        if not self.num_queries < found <= most:
            raise ValueError(
                f'mini-ViT: a map of {height}x{width} (half of the image) has {found} patches of '
                f'{patch[0]}x{patch[1]}, but {self.num_queries + 1} to {most} are needed; '
                'use images of another size, or set decode_head.mini_vit (num_queries, patch_size, max_tokens)'
            )
