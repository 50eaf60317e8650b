"""Pictures of a data set before and after its augmentation."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from depth.datasets.samplers import SampleIndex
from depth.registry import DATASETS
from depth.visualization import colorize_depth, draw_color_bar, overlay_depth
from depth.visualization.output_files import write_image
from depth.visualization.panel import join_tiles

MIN_HEIGHT = 240  # smaller images are enlarged by whole factors, so that a pixel stays a square


class PipelineRecorder:
    """Runs a data set's transforms and keeps what a sample was before and after the augmentation.

    Args:
        transforms: The data set's pipeline.

    Attributes:
        before: ``img``, ``gt_depth``, ``cam_intrinsic`` as loaded.
        after: The same before packing.
        names: The transforms in between.
    """

    KEYS = ('img', 'gt_depth', 'cam_intrinsic', 'img_path')

    def __init__(self, transforms: Sequence) -> None:
        self.transforms = list(transforms)
        self.before: dict = {}
        self.after: dict = {}
        loading = [number for number, transform in enumerate(self.transforms) if _name(transform).startswith('Load')]
        self.num_loading = loading[-1] + 1 if loading else 0
        self.names = [_name(t) for t in self.transforms[self.num_loading :] if not _name(t).startswith('Pack')]

    def __call__(self, results: dict) -> dict:
        """Return what the pipeline returns."""
        self.before = self.after = {}
        for number, transform in enumerate(self.transforms):
            if number == self.num_loading:
                self.before = self._keep(results)
            if 'img' in results:
                self.after = self._keep(results)
            results = transform(results)
        if 'img' in results:
            self.after = self._keep(results)
        self.before = self.before or self.after
        return results

    def _keep(self, results: dict) -> dict:
        kept = {key: results[key] for key in self.KEYS if results.get(key) is not None}
        return {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in kept.items()}


def browse_dataset(
    config: dict,
    out_dir: str | Path,
    indices: Sequence[int] | None = None,
    count: int = 8,
    repeats: int = 1,
    seed: int = 0,
) -> Iterator[Path]:
    """Write one picture a sample: image, ground truth over the image, and their colours, as loaded and as augmented.

    Args:
        config: Of the data set, with its pipeline.
        out_dir: Folder of the pictures.
        indices: Which samples; ``count`` of them evenly spread by default.
        count: How many.
        repeats: How often the augmentation of each sample is drawn.
        seed: Of the augmentation.

    Yields:
        Paths, as they are written.

    Raises:
        IndexError: If there is no such sample.
    """
    dataset = DATASETS.build(dict(config))
    recorders = _install(dataset)
    size = len(dataset)
    chosen = np.linspace(0, size - 1, min(count, size)).round().astype(int).tolist() if indices is None else indices
    for index in chosen:
        if not 0 <= index < size:
            raise IndexError(f'there is no sample {index}, the data set has {size}')
        for recorder in recorders:
            recorder.after = {}
        states = []
        for repeat in range(repeats):
            dataset[SampleIndex(index, (seed, repeat))]
            recorder = next(recorder for recorder in recorders if recorder.after)
            states = states or [('as loaded', recorder.before)]
            states.append((' '.join(recorder.names) or 'unchanged', recorder.after))
        path = Path(out_dir) / f'{index:06d}.png'
        write_image(path, draw_states(states, recorder.before.get('img_path', '')))
        yield path


def draw_states(states: Sequence[tuple[str, dict]], title: str) -> np.ndarray:
    """Return a picture, BGR uint8, with one row a state of the sample and a common colour bar in metres.

    Args:
        states: Name and ``img`` (H, W, 3), ``gt_depth`` (H, W) metres, ``cam_intrinsic`` of each.
        title: Of the whole, the sample's path.
    """
    depths = [state['gt_depth'][state['gt_depth'] > 0] for _, state in states if 'gt_depth' in state]
    known = np.concatenate(depths) if depths else np.zeros(0)
    span = (float(np.percentile(known, 1)), float(np.percentile(known, 99)) + 1e-3) if known.size else (0.0, 1.0)
    rows = [_draw_state(name, state, span) for name, state in states]
    width = max(row.shape[1] for row in rows)
    gaps = ((0, 8, 0, width - row.shape[1]) for row in rows)
    white = (255, 255, 255)
    padded = [
        cv2.copyMakeBorder(row, *gap, cv2.BORDER_CONSTANT, value=white) for row, gap in zip(rows, gaps, strict=True)
    ]
    header = np.full((20, width, 3), 255, np.uint8)
    cv2.putText(header, title[-width // 7 :], (2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([header, *padded])


def _draw_state(name: str, state: dict, span: tuple[float, float]) -> np.ndarray:
    img, depth = state['img'], state.get('gt_depth')
    facts = f'{img.shape[1]}x{img.shape[0]}'
    if depth is not None and depth.shape != img.shape[:2]:  # some protocols keep the ground truth at its own size
        facts += f' shown at {depth.shape[1]}x{depth.shape[0]}'
        img = cv2.resize(img, depth.shape[::-1], interpolation=cv2.INTER_LINEAR)
    scale = max(1, -(-MIN_HEIGHT // img.shape[0]))
    if 'cam_intrinsic' in state:
        matrix = np.asarray(state['cam_intrinsic'])
        facts += f', fx {matrix[0, 0]:.1f} cx {matrix[0, 2]:.1f} cy {matrix[1, 2]:.1f}'
    tiles = [(f'{name}: {facts}', _enlarge(img, scale))]
    if depth is not None:
        over = f'ground truth over the image, {(depth > 0).mean():.1%} of the pixels'
        tiles += [
            (over, _enlarge(overlay_depth(img, depth, *span), scale)),
            ('ground truth', _enlarge(colorize_depth(depth, *span), scale)),
            ('depth', draw_color_bar(img.shape[0] * scale, *span, ' m')),
        ]
    return join_tiles(tiles)


def _enlarge(picture: np.ndarray, scale: int) -> np.ndarray:
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _install(dataset: object) -> list[PipelineRecorder]:
    """Put recorders in place of the pipelines of a data set and of those it is made of."""
    parts = getattr(dataset, 'datasets', None)
    if parts is not None:
        return [recorder for part in parts for recorder in _install(part)]
    recorder = PipelineRecorder(dataset.pipeline.transforms)
    dataset.pipeline = recorder
    return [recorder]


def _name(transform: object) -> str:
    return type(transform).__name__
