"""Conversion of images in memory (arrays, tensors, PIL images) to BGR uint8 arrays."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

COLOR_ORDERS = ('bgr', 'rgb')
ImageInput = str | Path | np.ndarray | torch.Tensor | Image.Image


def check_color_order(color_order: str | None) -> None:
    """Raise ValueError if a colour order is neither None, ``'bgr'`` nor ``'rgb'``."""
    if color_order is not None and color_order not in COLOR_ORDERS:
        raise ValueError(f"color_order is 'bgr' or 'rgb', got {color_order!r}")


def to_bgr_array(
    image: np.ndarray | torch.Tensor | Image.Image, color_order: str | None = None
) -> np.ndarray:
    """Return an image in memory as BGR uint8 (H, W, 3).

    Args:
        image: Array (H, W, 3) uint8; tensor (3, H, W), uint8 or floating point in [0, 1], on any
            device; or a PIL image of any mode, whose own orientation tag is applied.
        color_order: Order of the channels of arrays and tensors, ``'bgr'`` or ``'rgb'``. Arrays are
            BGR by default; tensors have no default, because both orders are usual. A PIL image says
            itself what its channels are.

    Raises:
        ValueError: If type, shape, values or order do not fit.
    """
    check_color_order(color_order)
    if isinstance(image, Image.Image):
        from PIL import ImageOps

        rgb = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
        return np.ascontiguousarray(rgb[..., ::-1])
    if isinstance(image, torch.Tensor):
        if color_order is None:
            raise ValueError("a tensor needs color_order='rgb' or 'bgr': both are usual")
        image = _tensor_to_array(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f'an image array must be BGR uint8 of shape (H, W, 3), got {image.dtype} {image.shape}'
            " (color_order='rgb' takes RGB)"
        )
    return np.ascontiguousarray(image[..., ::-1]) if color_order == 'rgb' else image


def _tensor_to_array(image: torch.Tensor) -> np.ndarray:
    """Return a tensor (3, H, W) as uint8 (H, W, 3) in the same colour order."""
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise ValueError(f'an image tensor must have the shape (3, H, W), got {tuple(image.shape)}')
    if image.is_floating_point():
        low, high = (value.item() for value in torch.aminmax(image))
        # Comparisons with NaN are false.
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f'an image tensor of {image.dtype} has values from 0 to 1, got {low:.4g} to '
                f'{high:.4g}; give uint8 for 0 to 255, and images before any normalisation'
            )
        image = (image.float() * 255).round().to(torch.uint8)
    if image.dtype != torch.uint8:
        raise ValueError(f'an image tensor is uint8 or floating point, got {image.dtype}')
    return image.permute(1, 2, 0).cpu().numpy()
