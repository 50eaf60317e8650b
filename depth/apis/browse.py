"""Pictures of data set samples before and after augmentation."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from depth.datasets.samplers import SampleIndex
from depth.datasets.transforms import PackDepthInputs
from depth.registry import DATASETS
from depth.visualization import colorize_depth, draw_color_bar, fit_scale, overlay_depth
from depth.visualization.output_files import write_image
from depth.visualization.panel import join_tiles
from depth.visualization.text import draw_text, legible_digit_height, wrap_text

MIN_HEIGHT = 240  # smaller images are enlarged by whole factors, so that a pixel stays a square


class PipelineRecorder:
    """Pipeline that also stores a sample before and after its augmentation.

    Args:
        transforms: The data set's pipeline.

    Attributes:
        before: ``img``, ``gt_depth``, ``cam_intrinsic`` as loaded.
        after: The same keys before packing.
        names: Names of the transforms in between.
    """

    KEYS = ('img', 'gt_depth', 'cam_intrinsic', 'img_path')

    def __init__(self, transforms: Sequence) -> None:
        self.transforms = list(transforms)
        self.before: dict = {}
        self.after: dict = {}
        self.num_loading = 0  # transforms up to the last loader
        for index, transform in enumerate(self.transforms):
            if _is_loader(transform):
                self.num_loading = index + 1
        self.names = []
        for transform in self.transforms[self.num_loading :]:
            if not isinstance(transform, PackDepthInputs):
                self.names.append(type(transform).__name__)

    def __call__(self, results: dict) -> dict:
        """Return what the pipeline returns."""
        self.before = self.after = {}
        for index, transform in enumerate(self.transforms):
            if index == self.num_loading:
                self.before = self._copy(results)
            if 'img' in results:
                self.after = self._copy(results)
            results = transform(results)
        # A pipeline without packing.
        if 'img' in results:
            self.after = self._copy(results)
        self.before = self.before or self.after
        return results

    def _copy(self, results: dict) -> dict:
        """Return a copy of the keys that are drawn; transforms may change arrays in place."""
        copies = {}
        for key in self.KEYS:
            value = results.get(key)
            if value is not None:
                copies[key] = value.copy() if isinstance(value, np.ndarray) else value
        return copies


def browse_dataset(
    config: dict,
    out_dir: str | Path,
    indices: Sequence[int] | None = None,
    count: int = 8,
    repeats: int = 1,
    seed: int = 0,
) -> Iterator[Path]:
    """Write one picture per sample: image and ground truth, as loaded and as augmented.

    Args:
        config: Config of the data set, with its pipeline.
        out_dir: Folder of the pictures.
        indices: Indices of the samples; by default ``count`` of them, evenly spread.
        count: Number of samples, without ``indices``.
        repeats: Number of augmented copies per sample.
        seed: Random seed of the augmentation.

    Yields:
        The path of each picture, as it is written.

    Raises:
        IndexError: If there is no such sample.
    """
    dataset = DATASETS.build(dict(config))
    recorders = _install_recorders(dataset)
    size = len(dataset)
    if indices is None:
        indices = np.linspace(0, size - 1, min(count, size)).round().astype(int).tolist()
    for index in indices:
        if not 0 <= index < size:
            raise IndexError(f'there is no sample {index}, the data set has {size}')
        for recorder in recorders:
            recorder.after = {}
        states = []
        for repeat in range(repeats):
            # The copies differ by their position in the sequence, as those of a training do.
            dataset[SampleIndex(index, (seed, repeat))]
            recorder = next(recorder for recorder in recorders if recorder.after)
            states = states or [('as loaded', recorder.before)]
            states.append((' '.join(recorder.names) or 'unchanged', recorder.after))
        path = Path(out_dir) / f'{index:06d}.png'
        write_image(path, draw_states(states, recorder.before.get('img_path', '')))
        yield path


def draw_states(states: Sequence[tuple[str, dict]], title: str) -> np.ndarray:
    """Return a picture, BGR uint8, with one row per state of a sample and a common depth scale.

    Args:
        states: Title and content of each row: ``img`` (H, W, 3), ``gt_depth`` (H, W) in metres and
            ``cam_intrinsic``.
        title: Title of the picture, the sample's path.
    """
    depths = []
    for _, state in states:
        if 'gt_depth' in state:
            depths.append(state['gt_depth'][state['gt_depth'] > 0])
    valid_depths = np.concatenate(depths) if depths else np.zeros(0)
    fitted = fit_scale(valid_depths)
    span = (fitted.low, fitted.high)
    rows = [_draw_state(name, state, span) for name, state in states]
    width = max(row.shape[1] for row in rows)
    padded = []
    for row in rows:
        right = width - row.shape[1]
        padded.append(
            cv2.copyMakeBorder(row, 0, 8, 0, right, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        )
    digit_height = legible_digit_height(sum(row.shape[0] for row in padded), width)
    lines = wrap_text(title.replace('/', '/ '), width, digit_height)
    header = np.full((round(1.5 * digit_height) * len(lines), width, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        middle = round((number + 0.5) * 1.5 * digit_height)
        draw_text(header, line.replace('/ ', '/'), 2, middle, digit_height)
    padded.insert(0, header)
    return np.vstack(padded)


def _draw_state(name: str, state: dict, span: tuple[float, float]) -> np.ndarray:
    """Return one row: the image and, with ground truth, the overlay, its colours and the bar."""
    # After a cubic resize in floating point, values may lie outside of 0 to 255.
    img, depth = np.clip(state['img'], 0, 255).astype(np.uint8), state.get('gt_depth')
    facts = f'{img.shape[1]}x{img.shape[0]}'
    # With Resize(resize_depth=False) the ground truth keeps its own size.
    if depth is not None and depth.shape != img.shape[:2]:
        facts += f' shown at {depth.shape[1]}x{depth.shape[0]}'
        img = cv2.resize(img, depth.shape[::-1], interpolation=cv2.INTER_LINEAR)
    scale = max(1, math.ceil(MIN_HEIGHT / img.shape[0]))
    if 'cam_intrinsic' in state:
        matrix = np.asarray(state['cam_intrinsic'])
        facts += f', fx {matrix[0, 0]:.1f} cx {matrix[0, 2]:.1f} cy {matrix[1, 2]:.1f}'
    tiles = [(f'{name}: {facts}', _enlarge(img, scale))]
    if depth is not None:
        coverage = f'ground truth over the image, {(depth > 0).mean():.1%} of the pixels'
        near, far = span
        overlay, colors = overlay_depth(img, depth, near, far), colorize_depth(depth, near, far)
        tiles.append((coverage, _enlarge(overlay, scale)))
        tiles.append(('ground truth', _enlarge(colors, scale)))
        tiles.append(('depth', draw_color_bar(img.shape[0] * scale, near, far, ' m')))
    return join_tiles(tiles)


def _enlarge(picture: np.ndarray, scale: int) -> np.ndarray:
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _install_recorders(dataset: object) -> list[PipelineRecorder]:
    """Replace the pipelines of a data set, and of the data sets of a mixture, by recorders."""
    members = getattr(dataset, 'datasets', None)
    if members is None:
        recorder = PipelineRecorder(dataset.pipeline.transforms)
        dataset.pipeline = recorder
        return [recorder]
    recorders = []
    for member in members:
        recorders += _install_recorders(member)
    return recorders


def _is_loader(transform: object) -> bool:
    """Return whether a transform reads a file: named ``Load...``, or a reader of ground truth."""
    is_named_so = type(transform).__name__.startswith('Load')
    return is_named_so or getattr(transform, 'needs_ground_truth', False)
