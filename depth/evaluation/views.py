"""Views: the part of a frame that a ground truth map shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

VIEWS = dict(
    any='any; a view other than the full frame shows in the name and the fingerprint of the result',
    full='the full frame, uncropped',
    native='the full frame, uncropped, with ground truth at its own size',
    kb_crop='the bottom 352 rows, central 1216 columns',
)
KB_SIZE = (352, 1216)
# Sizes of KITTI's recording days, and of the images that are published already cut.
KITTI_FRAMES = ((375, 1242), (370, 1224), (374, 1238), (376, 1241), (370, 1226), KB_SIZE)
MAX_LISTED_VIEWS = 2


@dataclass(frozen=True)
class View:
    """Part of a frame that a ground truth map shows.

    Attributes:
        kind: ``full`` frame, ``kb_crop``, another ``window``, or ``unknown``.
        window: (top, left, height, width) in the frame, for the kind ``window``.
        resized_to: (H, W) of the ground truth if it does not have the size of that part.
    """

    kind: str
    window: tuple[int, int, int, int] | None = None
    resized_to: tuple[int, int] | None = None

    @property
    def is_full(self) -> bool:
        """Whether it is the full frame, at any size. A frame of unknown size counts as full."""
        return self.kind in ('full', 'unknown')

    def satisfies(self, required: str, gt_size: Sequence[int]) -> bool:
        """Return whether it is the view that a protocol requires.

        Args:
            required: Key of ``VIEWS``.
            gt_size: (H, W) of the ground truth. A frame of the size of the KB window is its own KB
                window.
        """
        if required == 'any':
            return True
        if required == 'full':
            return self.is_full
        if self.resized_to is not None:
            return False
        if required == 'native':
            return self.is_full
        return self.kind == 'kb_crop' or (self.is_full and tuple(gt_size) == KB_SIZE)

    def __str__(self) -> str:
        """Return the kind or the window, followed by ``at HxW`` where ground truth was resized."""
        text = self.kind
        if self.window is not None:
            top, left, height, width = self.window
            text = f'rows {top}:{top + height}, columns {left}:{left + width}'
        if self.resized_to is not None:
            text += f' at {self.resized_to[0]}x{self.resized_to[1]}'
        return text


def kb_box(height: int, width: int) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the KB window in a frame."""
    crop_height, crop_width = KB_SIZE
    return height - crop_height, (width - crop_width) // 2, crop_height, crop_width


def scored_view(
    gt_size: Sequence[int],
    crop_box: Sequence[int] | None = None,
    frame_shape: Sequence[int] | None = None,
) -> View:
    """Return the view of a ground truth map.

    Args:
        gt_size: (H, W) of the ground truth.
        crop_box: (top, left, height, width) in the loaded image, None if it was not cropped.
        frame_shape: (H, W) of the loaded image; None if the sample does not state it. A crop is
            then the KB window if it is that of one of KITTI's sizes.
    """
    if crop_box is None and frame_shape is None:
        return View('unknown')
    frames = KITTI_FRAMES if frame_shape is None else [tuple(frame_shape)]
    full_box = (0, 0) + frames[0]
    box = full_box if crop_box is None else tuple(crop_box)
    size = tuple(gt_size)
    resized_to = None if size == box[2:] else size
    # Without the frame's size a crop of the size of a frame may be a window of a larger one.
    if frame_shape is not None and box == full_box:
        return View('full', resized_to=resized_to)
    for height, width in frames:
        if box == kb_box(height, width):
            return View('kb_crop', resized_to=resized_to)
    return View('window', box, resized_to)


def list_partial_views(views: Iterable[View]) -> str:
    """Return the views besides the full frame at its own size as text, '' without any."""
    texts = set()
    for view in views:
        if not view.is_full or view.resized_to is not None:
            texts.add(str(view))
    if len(texts) > MAX_LISTED_VIEWS:
        return f'{len(texts)} different views'
    return ' / '.join(sorted(texts))
