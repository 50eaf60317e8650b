"""Sparse depth of each image of inference: an array, a file, or a folder of equal names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from depth.datasets.transforms.sparse_depth import check_sparse_depth, read_sparse_depth

from .inputs import InputImage

SUFFIXES = ('.npy', '.npz', '.png', '.tif', '.tiff')
SparseInput = str | Path | np.ndarray


class SparseInputs:
    """Points of each image of a call, read when their image is.

    Args:
        model: Model that predicts.
        images: Images, with the names that they have below their folder.
        source: File or array (H, W) of the only image, a folder, or a list with one entry an image,
            None for those without points. In a folder, ``0001.npy`` or ``left/0001.png`` belongs to
            the image of that name; images without a file have no points. None for no points.
        depth_scale: Stored integers per metre, for files of integers.

    Attributes:
        notes: One line if images have no points.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the model takes no sparse depth, the folder has no file of any image or two
            of one, or a list has another length.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Sequence[InputImage],
        source: SparseInput | Sequence[SparseInput | None] | None,
        depth_scale: float | None = None,
    ) -> None:
        self.notes: list[str] = []
        self.depth_scale = depth_scale
        self.max_depth = largest_depth(model)
        self._source_of: dict[int, SparseInput] = {}
        if source is None:
            return
        check_takes_sparse_depth(model)
        if isinstance(source, str | Path) and Path(source).is_dir():
            sources = self._find_files(images, Path(source))
        elif isinstance(source, str | Path | np.ndarray):
            sources = [source]
        else:
            sources = list(source)
        if len(sources) != len(images):
            raise ValueError(
                f'--sparse-depth names {len(sources)} maps of points for {len(images)} images; '
                'give a folder with a file for each, or one entry an image'
            )
        for image, item in zip(images, sources, strict=True):
            if isinstance(item, str | Path) and not Path(item).is_file():
                raise FileNotFoundError(f'--sparse-depth: {item} does not exist')
            if item is not None:
                self._source_of[id(image)] = item
        num_missing = len(images) - len(self._source_of)
        if num_missing:
            self.notes.append(
                f'{num_missing} of {len(images)} images have no sparse depth; their depth is '
                'predicted from the image alone'
            )

    def points(self, image: InputImage, size: tuple[int, int]) -> np.ndarray | None:
        """Return the points (H, W) of an image of ``size`` in metres, None if it has none.

        Raises:
            ValueError: If they do not have its size, or cannot be depth in metres; the message
                names their file.
        """
        source = self._source_of.get(id(image))
        if source is None:
            return None
        return load_points(source, size, self.depth_scale, self.max_depth, image.label)

    @staticmethod
    def _find_files(images: Sequence[InputImage], folder: Path) -> list[Path | None]:
        files: list[Path | None] = []
        for image in images:
            candidates = [folder / f'{image.name}{suffix}' for suffix in SUFFIXES]
            candidates = [path for path in candidates if path.is_file()]
            if len(candidates) > 1:
                raise ValueError(
                    f'--sparse-depth: {candidates[0]} and {candidates[1].name} both belong to '
                    f'{image.label}; leave one in the folder'
                )
            files.append(candidates[0] if candidates else None)
        if not any(files):
            raise ValueError(
                f'--sparse-depth: {folder} has no file of any image, such as '
                f'{images[0].name}{SUFFIXES[0]} ({", ".join(SUFFIXES)})'
            )
        return files


def load_points(
    source: SparseInput,
    size: tuple[int, int],
    depth_scale: float | None = None,
    max_depth: float | None = None,
    name: str = 'an image',
) -> np.ndarray:
    """Return points (H, W) float32 in metres, from a file or an array, checked against their image.

    Args:
        source: File, see :func:`~depth.datasets.transforms.sparse_depth.read_sparse_depth`, or
            array (H, W) in metres.
        size: (height, width) of the image.
        depth_scale: Stored integers per metre, for files of integers.
        max_depth: Far end of the model's range in metres, for a check of the scale.
        name: Image, for messages about an array.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If they do not fit.
    """
    if isinstance(source, np.ndarray):
        points = np.asarray(source, np.float32)
        check_sparse_depth(points, f'sparse depth of {name}', size, max_depth)
        return points
    points = read_sparse_depth(source, depth_scale, max_depth)
    check_sparse_depth(points, f'sparse depth {source}', size)
    return points


def check_takes_sparse_depth(model: nn.Module) -> None:
    """Refuse points for a model that would not look at them.

    Raises:
        ValueError: If the model takes no sparse depth.
    """
    if not model.takes_sparse_depth:
        raise ValueError(
            'the model takes no sparse depth: its config has neither decode_head.prompt nor '
            'backbone.early_fusion (docs/completion.md)'
        )


def largest_depth(model: nn.Module) -> float | None:
    """Return the far end of a model's depth range in metres, None if it states none."""
    return getattr(getattr(model, 'decode_head', None), 'max_depth', None)
