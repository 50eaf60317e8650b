"""Test-time inference: overlapping windows, the mirrored image, and how their predictions are combined."""

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor

from depth.structures import DepthDataSample

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


Move = Callable[[Tensor], Tensor]


def shifted_samples(
    data_samples: Sequence[DepthDataSample] | None, top: int, left: int
) -> list[DepthDataSample] | None:
    """Return samples of the window that starts at (``top``, ``left``): the principal point moves with it."""
    if data_samples is None:
        return None
    return [_with_principal_point(sample, lambda x: x - left, lambda y: y - top) for sample in data_samples]


def mirrored_samples(
    data_samples: Sequence[DepthDataSample] | None, widths: Sequence[int]
) -> list[DepthDataSample] | None:
    """Return samples of the images mirrored within their ``widths``: the principal point moves to the other side."""
    if data_samples is None:
        return None
    return [
        _with_principal_point(sample, lambda x, width=width: width - 1 - x, lambda y: y)
        for sample, width in zip(data_samples, widths, strict=True)
    ]


def _with_principal_point(sample: DepthDataSample, move_x: Move, move_y: Move) -> DepthDataSample:
    """Return a sample with the same meta information and moved intrinsics, without ground truth."""
    view = DepthDataSample(metainfo=sample.metainfo)
    if 'intrinsics' in sample:
        view.intrinsics = sample.intrinsics.clone()
        view.intrinsics[0, 2] = move_x(sample.intrinsics[0, 2])
        view.intrinsics[1, 2] = move_y(sample.intrinsics[1, 2])
    return view


def blend_mirrored(direct: Tensor, mirrored: Tensor) -> Tensor:
    """Return the mean of two maps, but near the left border the second and near the right border the first alone.

    A stereo-trained network errs at the border beyond which the other camera sees nothing; mirroring moves that border
    to the other side. The outer 5 % of columns come from the better map, the next 5 % are linear ramps.

    Args:
        direct: Prediction of the image, (..., H, W).
        mirrored: Prediction of the mirrored image, mirrored back, same shape.

    Reference: Unsupervised Monocular Depth Estimation with Left-Right Consistency, https://arxiv.org/abs/1609.03677.
    """
    place = torch.linspace(0, 1, direct.shape[-1], dtype=direct.dtype, device=direct.device)
    left = 1 - (20 * (place - 0.05)).clamp(0, 1)
    right = left.flip(0)
    return left * mirrored + right * direct + (1 - left - right) * (direct + mirrored) / 2
