"""Placing windows on an image and averaging what they predict."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

Place = tuple[int, int]  # first row and first column of a window


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window along one axis; the last window ends at the border.

    A window that is longer than the axis gives the single start 0.
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def slide_inference(
    predict: Callable[[Tensor, list[Place]], Tensor],
    inputs: Tensor,
    crop_size: tuple[int, int],
    stride: tuple[int, int],
    window_batch: int = 1,
) -> Tensor:
    """Average the depth of overlapping windows.

    Args:
        predict: Maps windows (B * N, 3, h, w), the N images of the first window first, with the first row and first
            column of each of the B windows to depth (B * N, 1, h, w).
        inputs: Normalised images (N, 3, H, W).
        crop_size: Window (height, width); cut to the image where it is larger.
        stride: Step between windows (vertical, horizontal), at most the window.
        window_batch: Most windows B that are predicted at once; more take more memory and keep a GPU busy.

    Returns:
        Depth (N, 1, H, W); every pixel is the mean of the windows that see it.
    """
    height, width = inputs.shape[-2:]
    window_h, window_w = min(crop_size[0], height), min(crop_size[1], width)
    total = inputs.new_zeros(inputs.shape[0], 1, height, width, dtype=torch.float32)
    count = torch.zeros_like(total)
    places = list(product(window_starts(height, window_h, stride[0]), window_starts(width, window_w, stride[1])))
    for first in range(0, len(places), window_batch):
        some = places[first : first + window_batch]
        cuts = [(..., slice(top, top + window_h), slice(left, left + window_w)) for top, left in some]
        depth = predict(torch.cat([inputs[cut] for cut in cuts]), some).float()
        for cut, part in zip(cuts, depth.chunk(len(some)), strict=True):
            total[cut] += part
            count[cut] += 1
    return total / count
