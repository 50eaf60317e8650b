"""Which part of a frame a ground truth map shows."""

from collections.abc import Iterable, Sequence

VIEWS = dict(
    any='any; a view other than the full frame shows in the name and the fingerprint of the result',
    full='the full frame, uncropped',
    native='the full frame, uncropped, with ground truth at its own size',
    kb_crop='the bottom 352 rows, central 1216 columns',
)
FULL, UNKNOWN, KB_CROP = 'full', 'unknown', 'kb_crop'
KB_SIZE = (352, 1216)
# Sizes of KITTI's recording days, and of the images that are published cut already.
KITTI_FRAMES = ((375, 1242), (370, 1224), (374, 1238), (376, 1241), (370, 1226), KB_SIZE)


def kb_box(height: int, width: int) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the KB window in a frame."""
    return height - KB_SIZE[0], (width - KB_SIZE[1]) // 2, *KB_SIZE


def scored_view(
    gt_size: Sequence[int], crop_box: Sequence[int] | None = None, frame_shape: Sequence[int] | None = None
) -> str:
    """Return what a map shows: ``'full'``, ``'kb_crop'``, ``'unknown'``, or rows and columns in words.

    Args:
        gt_size: (H, W) of the ground truth.
        crop_box: (top, left, height, width) in the loaded image, None if it was not cropped.
        frame_shape: (H, W) of the loaded image; None if the sample does not say it. A crop is then taken for the KB
            window if it is that of one of KITTI's sizes.

    Returns:
        The view; followed by ``at HxW`` where ground truth was resized.
    """
    gt_size = tuple(gt_size)
    frame = None if frame_shape is None else tuple(frame_shape)
    if crop_box is None and frame is None:
        return UNKNOWN
    box = (0, 0, *frame) if crop_box is None else tuple(crop_box)
    if frame is not None and box == (0, 0, *frame):
        name = FULL
    elif box in {kb_box(*size) for size in (KITTI_FRAMES if frame is None else [frame])}:
        name = KB_CROP
    else:
        top, left, height, width = box
        name = f'rows {top}:{top + height}, columns {left}:{left + width}'
    return name if gt_size == box[2:] else f'{name} at {gt_size[0]}x{gt_size[1]}'


def shows(view: str, wanted: str, gt_size: Sequence[int]) -> bool:
    """Return whether a scored view is the one that a protocol wants.

    Args:
        view: From :func:`scored_view`.
        wanted: Key of ``VIEWS``.
        gt_size: (H, W) of the ground truth. A frame of the KB window's size is its own KB window.
    """
    if wanted == 'any':
        return True
    if wanted == 'kb_crop':
        return view == KB_CROP or (view in (FULL, UNKNOWN) and tuple(gt_size) == KB_SIZE)
    if wanted == 'native':
        return view in (FULL, UNKNOWN)
    return view in (FULL, UNKNOWN) or view.startswith(f'{FULL} at ')


def summary(views: Iterable[str]) -> str:
    """Return the views of many images that are not the full frame, in words; '' if there are none."""
    others = sorted(set(views) - {FULL, UNKNOWN})
    return ' / '.join(others) if len(others) < 3 else f'{len(others)} different views'
