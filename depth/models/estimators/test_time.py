"""Test-time inference with sliding windows and mirrored images."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from depth.structures import DepthDataSample

WindowCorner = tuple[int, int]  # first row and first column of a window


def check_whole_images(estimator: str, test_cfg: Mapping[str, Any]) -> None:
    """Check that the options of an estimator, named for the message, are those of whole images.

    Windows and mirrored images would each get a camera of their own.

    Raises:
        ValueError: If they ask for windows or mirrored images.
    """
    if test_cfg['mode'] != 'whole' or test_cfg['flip']:
        raise ValueError(
            f'{estimator} predicts whole images, with a camera of their own: set '
            "test_cfg.mode='whole' and flip=False, got "
            f'mode={test_cfg["mode"]!r} and flip={test_cfg["flip"]}'
        )


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window along one axis; the last window ends at the border.

    A window that is longer than the axis gives the single start 0.
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def slide_inference(
    predict: Callable[[Tensor, list[WindowCorner]], Tensor],
    inputs: Tensor,
    crop_size: tuple[int, int],
    stride: tuple[int, int],
    window_batch: int = 1,
) -> Tensor:
    """Average the depth of overlapping windows.

    Args:
        predict: Maps windows (B * N, 3, h, w), the N images of the first window first, with the
            first row and first column of each of the B windows to depth (B * N, 1, h, w).
        inputs: Normalised images (N, 3, H, W).
        crop_size: Window (height, width); cut to the image where it is larger.
        stride: Step between windows (vertical, horizontal), at most the window.
        window_batch: Largest number B of windows predicted at once; more take more memory and use a
            GPU better.

    Returns:
        Depth (N, 1, H, W); every pixel is the mean of the windows that contain it.
    """
    height, width = inputs.shape[-2:]
    window_h, window_w = min(crop_size[0], height), min(crop_size[1], width)
    # float32 also for half precision inputs: many windows are summed.
    total = inputs.new_zeros(inputs.shape[0], 1, height, width, dtype=torch.float32)
    count = torch.zeros_like(total)
    tops = window_starts(height, window_h, stride[0])
    lefts = window_starts(width, window_w, stride[1])
    corners = list(product(tops, lefts))
    for first in range(0, len(corners), window_batch):
        batch_corners = corners[first : first + window_batch]
        windows = [
            (..., slice(top, top + window_h), slice(left, left + window_w))
            for top, left in batch_corners
        ]
        batch = torch.cat([inputs[window] for window in windows])  # (B * N, 3, h, w)
        depth = predict(batch, batch_corners).float()
        for window, window_depth in zip(windows, depth.chunk(len(windows)), strict=True):
            total[window] += window_depth
            count[window] += 1
    return total / count


def shifted_samples(
    data_samples: Sequence[DepthDataSample] | None, top: int, left: int, size: Sequence[int]
) -> list[DepthDataSample] | None:
    """Return samples for the window of ``size`` (h, w) at (``top``, ``left``).

    Their principal points are moved, and they have the points of the window.
    """
    if data_samples is None:
        return None
    views = []
    for sample in data_samples:
        view = _copy_without_ground_truth(sample)
        if 'intrinsics' in view:
            view.intrinsics[0, 2] -= left
            view.intrinsics[1, 2] -= top
        if 'sparse_depth' in sample:
            points = sample.sparse_depth[top : top + size[0], left : left + size[1]]
            view.sparse_depth = points
        views.append(view)
    return views


def mirrored_samples(
    data_samples: Sequence[DepthDataSample] | None, widths: Sequence[int]
) -> list[DepthDataSample] | None:
    """Return samples for images mirrored within ``widths``.

    Their principal points and points are mirrored.
    """
    if data_samples is None:
        return None
    views = []
    for sample, width in zip(data_samples, widths, strict=True):
        view = _copy_without_ground_truth(sample)
        if 'intrinsics' in view:
            # Pixel centres are at whole numbers: column 0 becomes column width - 1.
            view.intrinsics[0, 2] = width - 1 - view.intrinsics[0, 2]
        if 'sparse_depth' in sample:
            points = sample.sparse_depth
            view.sparse_depth = torch.cat([points[:, :width].flip(-1), points[:, width:]], dim=-1)
        views.append(view)
    return views


def _copy_without_ground_truth(sample: DepthDataSample) -> DepthDataSample:
    """Return a sample with the same meta information and a copy of the intrinsics, nothing else."""
    view = DepthDataSample(metainfo=sample.metainfo)
    if 'intrinsics' in sample:
        view.intrinsics = sample.intrinsics.clone()
    return view


def blend_mirrored(direct: Tensor, mirrored: Tensor) -> Tensor:
    """Blend predictions of an image and of its mirror image, with ramps at the borders.

    A stereo-trained network is wrong near the border beyond which the other camera sees nothing;
    mirroring moves that border to the other side. The left 5 % of columns come from ``mirrored``,
    the right 5 % from ``direct``; after a linear ramp of 5 %, the result is their mean.

    Args:
        direct: Prediction of the image, (..., H, W).
        mirrored: Prediction of the mirrored image, mirrored back, same shape.

    Reference: Unsupervised Monocular Depth Estimation with Left-Right Consistency,
    https://arxiv.org/abs/1609.03677.
    """
    position = torch.linspace(0, 1, direct.shape[-1], dtype=direct.dtype, device=direct.device)
    left = 1 - (20 * (position - 0.05)).clamp(0, 1)
    right = left.flip(0)
    return left * mirrored + right * direct + (1 - left - right) * (direct + mirrored) / 2
