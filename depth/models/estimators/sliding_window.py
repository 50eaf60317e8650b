"""Placing windows on an image and averaging what they predict."""

from collections.abc import Callable

import torch
from torch import Tensor


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window along one axis; the last window ends at the border.

    A window that is longer than the axis gives the single start 0.
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def slide_inference(
    predict: Callable[[Tensor, int, int], Tensor], inputs: Tensor, crop_size: tuple[int, int], stride: tuple[int, int]
) -> Tensor:
    """Average the depth of overlapping windows.

    Args:
        predict: Maps a window (N, 3, h, w) with its first row and first column to depth (N, 1, h, w).
        inputs: Normalised images (N, 3, H, W).
        crop_size: Window (height, width); cut to the image where it is larger.
        stride: Step between windows (vertical, horizontal), at most the window.

    Returns:
        Depth (N, 1, H, W); every pixel is the mean of the windows that see it.
    """
    height, width = inputs.shape[-2:]
    window_h, window_w = min(crop_size[0], height), min(crop_size[1], width)
    total = inputs.new_zeros(inputs.shape[0], 1, height, width, dtype=torch.float32)
    count = torch.zeros_like(total)
    for top in window_starts(height, window_h, stride[0]):
        for left in window_starts(width, window_w, stride[1]):
            place = (..., slice(top, top + window_h), slice(left, left + window_w))
            total[place] += predict(inputs[place], top, left).float()
            count[place] += 1
    return total / count
