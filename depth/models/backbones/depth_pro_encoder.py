"""Encoder of Depth Pro: one ViT on overlapping windows of an image pyramid, and two on the image.

Reference: Depth Pro: Sharp Monocular Metric Depth in Less Than a Second,
https://arxiv.org/abs/2410.02073; layout of https://github.com/apple/ml-depth-pro.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.registry import MODELS

from .timm_models import create_timm_model, refuse_checkpoint_path

# Windows per side and step between them, as a share of the window, at full and at half size.
FINE_WINDOWS, FINE_STEP = 5, 0.75
HALF_WINDOWS, HALF_STEP = 3, 0.5
PYRAMID = 4  # the image is this many windows wide


@MODELS.register_module()
class DepthProEncoder(BaseModule):
    """Multi-scale features of a square image of four windows a side.

    The image at full, half and quarter size is cut into 5x5, 3x3 and one window. A ViT that they
    share encodes them as one batch; token maps are merged by cutting the overlaps. A second ViT
    sees the quarter-size image for global context, a third one for the field of view.

    Args:
        model_name: Plain ViT of timm.
        window: Side of a window in pixels.
        patch_size: Side of a patch in pixels; ``window / patch_size`` is a multiple of 8, so that
            overlaps are whole patches.
        hook_blocks: Two blocks whose raw tokens of the fine windows become the finest maps.
        channels: Channels of the second to the fifth map; the second also of the projection before
            the first.
        decoder_channels: Channels of the first map.
        pretrained: Start all three ViTs from timm's weights, resized to ``patch_size``.
        grad_checkpointing: Recompute blocks in the backward pass, for less memory.
        model_args: Further arguments of the ViTs.

    Raises:
        ValueError: If the window is not a multiple of eight patches.
    """

    def __init__(
        self,
        model_name: str = 'vit_large_patch14_dinov2',
        window: int = 384,
        patch_size: int = 16,
        hook_blocks: Sequence[int] = (5, 11),
        channels: Sequence[int] = (256, 512, 1024, 1024),
        decoder_channels: int = 256,
        pretrained: bool = False,
        grad_checkpointing: bool = False,
        model_args: dict | None = None,
    ) -> None:
        super().__init__()
        if window % (8 * patch_size):
            raise ValueError(
                f'DepthProEncoder: window is a multiple of 8 patches of {patch_size} pixels, got '
                f'{window}'
            )
        self.window, self.hook_blocks = window, list(hook_blocks)
        self.image_size = PYRAMID * window
        self.grid = window // patch_size
        refuse_checkpoint_path(type(self).__name__, model_args)
        arguments = dict(
            num_classes=0,
            img_size=window,
            patch_size=patch_size,
            **(model_args or {}),
        )
        name = type(self).__name__
        self.patch_encoder = create_timm_model(name, model_name, pretrained, arguments)
        self.image_encoder = create_timm_model(name, model_name, pretrained, arguments)
        self.fov_encoder = create_timm_model(name, model_name, pretrained, arguments)
        for encoder in (self.patch_encoder, self.image_encoder, self.fov_encoder):
            encoder.set_grad_checkpointing(grad_checkpointing)
        width = self.patch_encoder.embed_dim
        first, second, third, fourth = channels
        self.upsample_latent0 = _upsampling(width, first, decoder_channels, 3)
        self.upsample_latent1 = _upsampling(width, first, first, 2)
        self.upsample0 = _upsampling(width, second, second, 1)
        self.upsample1 = _upsampling(width, third, third, 1)
        self.upsample2 = _upsampling(width, fourth, fourth, 1)
        self.upsample_global = nn.ConvTranspose2d(width, fourth, 2, stride=2)
        self.fuse_global = nn.Conv2d(2 * fourth, fourth, 1)
        self.out_channels = [decoder_channels, *channels]
        self.fov_channels = width

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return features of images (N, 3, S, S) with S four windows.

        Returns:
            Five maps, finest first, of 8 G, 4 G, 2 G, G and G / 2 pixels a side, where G is S over
            the patch size; and the map (N, C, g, g) of the ViT for the field of view, one entry a
            patch of the quarter image.

        Raises:
            ValueError: If the images have another size.
        """
        if tuple(images.shape[-2:]) != (self.image_size, self.image_size):
            raise ValueError(
                f'DepthProEncoder takes images of {self.image_size}x{self.image_size}, got '
                f'{tuple(images.shape[-2:])}'
            )
        num_images = len(images)
        half = F.interpolate(images, scale_factor=0.5, mode='bilinear', align_corners=False)
        quarter = F.interpolate(images, scale_factor=0.25, mode='bilinear', align_corners=False)
        # All windows of the three scales go through the patch encoder as one batch.
        windows = [
            split_windows(images, self.window, FINE_STEP),
            split_windows(half, self.window, HALF_STEP),
            quarter,
        ]
        tokens, hooked = self.patch_encoder.forward_intermediates(
            torch.cat(windows), indices=self.hook_blocks, norm=False, output_fmt='NCHW'
        )
        fine, medium, coarse = self._to_map(tokens).split([len(batch) for batch in windows])
        # Inner blocks are read at the finest scale alone, whose windows come first in the batch.
        latents = [
            merge_windows(maps[: len(fine)], num_images, FINE_WINDOWS, FINE_STEP) for maps in hooked
        ]
        fine = merge_windows(fine, num_images, FINE_WINDOWS, FINE_STEP)
        medium = merge_windows(medium, num_images, HALF_WINDOWS, HALF_STEP)
        context = self._to_map(self.image_encoder.forward_features(quarter))
        coarse = torch.cat([self.upsample2(coarse), self.upsample_global(context)], dim=1)
        feats = [
            self.upsample_latent0(latents[0]),
            self.upsample_latent1(latents[1]),
            self.upsample0(fine),
            self.upsample1(medium),
            self.fuse_global(coarse),
        ]
        return feats, self._to_map(self.fov_encoder.forward_features(quarter))

    def _to_map(self, tokens: Tensor) -> Tensor:
        """Return the patch tokens of (N, P + g^2, C) as maps (N, C, g, g)."""
        # Class and register tokens stand before those of the patches.
        patches = tokens[:, -self.grid * self.grid :]
        return patches.transpose(1, 2).unflatten(2, (self.grid, self.grid))


def split_windows(images: Tensor, window: int, step: float) -> Tensor:
    """Cut images (N, C, S, S) into overlapping windows (K K N, C, window, window), row by row.

    Args:
        images: Square images.
        window: Side of a window in pixels.
        step: Distance of neighbouring windows as a share of the window.
    """
    stride = int(window * step)
    # Slices rather than `unfold`, which other runtimes do not have.
    starts = range(0, int(images.shape[-1]) - window + 1, stride)
    windows = []
    for top in starts:
        for left in starts:
            windows.append(images[..., top : top + window, left : left + window])
    return torch.cat(windows)


def merge_windows(maps: Tensor, num_images: int, windows: int, step: float) -> Tensor:
    """Join the maps (K K N, C, g, g) of overlapping windows to maps (N, C, G, G).

    Half of each overlap is cut off both neighbours.

    Args:
        maps: One map a window, in the order of :func:`split_windows`.
        num_images: Number N of images.
        windows: Windows K a side.
        step: Distance of neighbouring windows as a share of the window.
    """
    side = int(maps.shape[-1])  # the same for every image
    cut = round(side * (1 - step) / 2)
    maps = maps.unflatten(0, (windows, windows, num_images))
    rows = []
    for row in range(windows):
        vertical = _inner_slice(row, windows, side, cut)
        cells = []
        for column in range(windows):
            cells.append(maps[row, column][..., vertical, _inner_slice(column, windows, side, cut)])
        rows.append(torch.cat(cells, dim=-1))
    return torch.cat(rows, dim=-2)


def _inner_slice(index: int, windows: int, side: int, cut: int) -> slice:
    """Return the rows of a window that overlap no neighbour; the image border is not cut."""
    return slice(cut if index > 0 else 0, side - cut if index < windows - 1 else side)


def _upsampling(in_channels: int, between: int, channels: int, doublings: int) -> nn.Sequential:
    """Return a 1x1 projection and deconvolutions that each double the size, all without bias."""
    layers = [nn.Conv2d(in_channels, between, 1, bias=False)]
    for index in range(doublings):
        width = between if index == 0 else channels
        layers.append(nn.ConvTranspose2d(width, channels, 2, stride=2, bias=False))
    return nn.Sequential(*layers)
