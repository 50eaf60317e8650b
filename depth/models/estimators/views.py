"""Data samples of a part or of the mirror image of their image."""

from collections.abc import Callable, Sequence

from torch import Tensor

from depth.structures import DepthDataSample

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
