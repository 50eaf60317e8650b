"""Patterns of sparse depth, simulated from dense ground truth: any RGB-D set trains completion.

Each pattern sets ``sparse_depth`` from ``gt_depth``, which has the pixels of the image. Ground
truth stays as it is. In training the draws are the sample's own (seed and position in the training
sequence); with ``seed`` they depend on it and on the sample's index alone, as tests need it,
whatever the order, the batch or the worker.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .geometry import get_rng

Count = int | Sequence[int]
Share = float | Sequence[float]


class SparsePattern(BaseTransform):
    """Base class: choice of points, then loss of some and noise on the rest.

    Args:
        noise: Standard deviation of the error of log depth, 0.01 for about one percent.
        dropout: Share of the points that are lost, at random.
        seed: Draw the same for a sample whenever it is read; None draws anew in each pass over the
            training data.

    Raises:
        ValueError: If a share is not one; in ``transform`` if the sample has no ground truth on the
            image's pixels.
    """

    needs_ground_truth = True  # inference leaves the transform out

    def __init__(
        self, *, noise: float = 0.0, dropout: float = 0.0, seed: int | None = None
    ) -> None:
        if not 0 <= noise <= 1 or not 0 <= dropout < 1:
            raise ValueError(
                f'{type(self).__name__}: noise is from 0 to 1 and dropout from 0 to below 1, got '
                f'{noise} and {dropout}'
            )
        self.noise, self.dropout, self.seed = noise, dropout, seed

    def transform(self, results: dict) -> dict:
        """Set ``sparse_depth``."""
        rng = get_rng(results) if self.seed is None else sample_rng(results, self.seed)
        results['sparse_depth'] = self.simulate(results, rng)
        return results

    def simulate(self, results: dict, rng: np.random.RandomState) -> np.ndarray:
        """Return points (H, W) float32 in metres, 0 = none."""
        _check_ground_truth(results, type(self).__name__)
        points = self.choose(results, rng)
        rows, columns = np.nonzero(points)
        values = points[rows, columns]
        if self.noise:
            # Of the logarithm, so that depth stays positive.
            values = values * np.exp(self.noise * rng.randn(len(values)))
        if self.dropout:
            values = np.where(rng.rand(len(values)) < self.dropout, 0, values)
        disturbed = np.zeros(points.shape, np.float32)
        disturbed[rows, columns] = values
        return disturbed

    @abstractmethod
    def choose(self, results: dict, rng: np.random.RandomState) -> np.ndarray:
        """Return exact points (H, W) in metres, 0 = none, from ``gt_depth``."""


def sample_rng(results: dict, seed: int) -> np.random.RandomState:
    """Return a generator of a seed and the sample's set and index (or name) alone."""
    sample = results.get('sample_idx')
    if sample is None:
        sample = Path(str(results.get('img_path', ''))).name
    key = f'{seed}/{results.get("dataset", "")}/{sample}'
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.RandomState(np.frombuffer(digest[:16], np.uint32))


def draw_count(
    num_points: Count | None,
    share: Share | None,
    num_pixels: int,
    rng: np.random.RandomState,
) -> int:
    """Return a number of points: fixed, or drawn from a range with equal chances for each octave.

    Args:
        num_points: The number, or (least, most).
        share: Instead the share of the pixels, or (least, most).
        num_pixels: Pixels of the image.
        rng: Generator, used for ranges alone.
    """
    value = num_points if share is None else share
    if isinstance(value, Sequence):
        low, high = np.log(value[0]), np.log(value[1])
        value = float(np.exp(rng.uniform(low, high)))
    return max(round(value * num_pixels if share is not None else value), 1)


def check_count(name: str, num_points: Count | None, share: Share | None) -> None:
    """Refuse numbers and shares of points that are none.

    Raises:
        ValueError: If not exactly one of both is given, or a value is out of its range.
    """
    if (num_points is None) == (share is None):
        raise ValueError(
            f'{name}: give num_points or share, got num_points={num_points} and share={share}'
        )
    value = num_points if share is None else share
    ends = tuple(value) if isinstance(value, Sequence) else (value, value)
    most = np.inf if share is None else 1
    if len(ends) != 2 or not 0 < ends[0] <= ends[1] <= most:
        limit = 'above 0' if share is None else 'above 0 and at most 1'
        raise ValueError(
            f'{name}: {"share" if num_points is None else "num_points"} is one number {limit} or '
            f'(least, most), got {value}'
        )


@TRANSFORMS.register_module()
class RandomPoints(SparsePattern):
    """Points at random pixels, each with the same chance.

    Args:
        num_points: Number of points, or (least, most) to draw it from; all pixels with ground truth
            if they are fewer.
        share: Instead the share of the image's pixels, or (least, most).
        **kwargs: ``noise``, ``dropout`` and ``seed``, see :class:`SparsePattern`.

    Reference: Sparse-to-Dense, https://arxiv.org/abs/1709.07492 (with a number in expectation).
    """

    def __init__(
        self, num_points: Count | None = None, share: Share | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_count('RandomPoints', num_points, share)
        self.num_points, self.share = num_points, share

    def choose(self, results: dict, rng: np.random.RandomState) -> np.ndarray:
        """Return the points."""
        depth = results['gt_depth']
        count = draw_count(self.num_points, self.share, depth.size, rng)
        pixels = np.flatnonzero(depth > 0)
        if count < len(pixels):
            pixels = rng.choice(pixels, count, replace=False)
        return _selected(depth, pixels)


@TRANSFORMS.register_module()
class LidarLines(SparsePattern):
    """Lines of a rotating laser scanner: some of its beams, seen by the camera.

    A beam has a fixed elevation e; at column x it meets the row cy - fy tan(e) sqrt(1 + ((x - cx) /
    fx)^2), a hyperbola in the image. Without intrinsics beams are rows of the image.

    Args:
        num_lines: Number k of the beams that measure, evenly among all with a random first one, or
            (least, most).
        num_beams: Beams of the scanner.
        elevation: (lowest, highest) beam in degrees, positive upwards; the elevations of the
            image's bottom and top middle pixel by default. A Velodyne HDL-64E, as on KITTI's car,
            has (-24.8, 2.0).
        num_points: Keep so many points, evenly along the lines, or (least, most); None keeps all
            that the beams meet.
        share: Instead a share of the image's pixels, or (least, most).
        **kwargs: ``noise``, ``dropout`` and ``seed``, see :class:`SparsePattern`.

    Raises:
        ValueError: If the numbers of beams or the elevations are impossible.
    """

    def __init__(
        self,
        num_lines: Count = 16,
        num_beams: int = 64,
        elevation: Sequence[float] | None = None,
        num_points: Count | None = None,
        share: Share | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count('LidarLines', num_lines, None)
        if num_points is not None or share is not None:
            check_count('LidarLines', num_points, share)
        most = max(num_lines) if isinstance(num_lines, Sequence) else num_lines
        if most > num_beams:
            raise ValueError(f'LidarLines: {most} lines of {num_beams} beams')
        if elevation is not None and not -90 < elevation[0] < elevation[1] < 90:
            raise ValueError(
                f'LidarLines: elevation is (lowest, highest) in degrees, got {tuple(elevation)}'
            )
        self.num_lines, self.num_beams, self.elevation = num_lines, num_beams, elevation
        self.num_points, self.share = num_points, share

    def choose(self, results: dict, rng: np.random.RandomState) -> np.ndarray:
        """Return the points."""
        depth = results['gt_depth']
        height, width = depth.shape
        count = draw_count(self.num_lines, None, depth.size, rng)
        # Every beam of one in num_beams / count, from a random one on, from low to high in [0, 1].
        first = rng.rand()
        beams = np.floor((np.arange(count) + first) * self.num_beams / count)
        fractions = (beams + 0.5) / self.num_beams
        rows = self._rows(fractions, results.get('cam_intrinsic'), height, width)  # (k, W)
        columns = np.broadcast_to(np.arange(width), rows.shape)
        rows = np.floor(rows + 0.5).astype(int)
        inside = (rows >= 0) & (rows < height)
        pixels = np.unique(rows[inside] * width + columns[inside])
        pixels = pixels[depth.ravel()[pixels] > 0]
        if self.num_points is not None or self.share is not None:
            num_points = draw_count(self.num_points, self.share, depth.size, rng)
            steps = np.linspace(0, len(pixels), min(num_points, len(pixels)), endpoint=False)
            pixels = pixels[steps.astype(int)]
        return _selected(depth, pixels)

    def _rows(
        self,
        fractions: np.ndarray,
        intrinsic: np.ndarray | None,
        height: int,
        width: int,
    ) -> np.ndarray:
        """Return the row (k, W) of each beam at each column, from 0 (lowest) to 1 (highest)."""
        if intrinsic is None:
            rows = (1 - fractions) * height - 0.5
            return np.broadcast_to(rows[:, None], (len(fractions), width))
        fx, cx = intrinsic[0][0], intrinsic[0][2]
        fy, cy = intrinsic[1][1], intrinsic[1][2]
        if self.elevation is None:
            low, high = np.arctan((cy - np.array([height - 0.5, -0.5])) / fy)
        else:
            low, high = np.radians(self.elevation)
        tangents = np.tan(low + fractions * (high - low))
        lengths = np.sqrt(1 + ((np.arange(width) - cx) / fx) ** 2)  # of the ray over the ground
        return cy - fy * tangents[:, None] * lengths


@TRANSFORMS.register_module()
class FeatureTracks(SparsePattern):
    """Points as of structure from motion: at corners of the image, in clusters.

    The chance of a pixel grows with its corner strength (smaller eigenvalue of the structure
    tensor) and its nearness to one of a few random centres, where other views saw the scene too.
    So textureless surfaces and whole regions stay without points.

    Args:
        num_points: Number of points, or (least, most) to draw it from.
        share: Instead the share of the image's pixels, or (least, most).
        num_clusters: Number of centres.
        radius: Standard deviation of the nearness, as a share of the image's shorter side.
        **kwargs: ``noise``, ``dropout`` and ``seed``, see :class:`SparsePattern`.

    Raises:
        ValueError: If a number is impossible.
    """

    def __init__(
        self,
        num_points: Count | None = None,
        share: Share | None = None,
        num_clusters: int = 12,
        radius: float = 0.25,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count('FeatureTracks', num_points, share)
        if num_clusters < 1 or not radius > 0:
            raise ValueError(
                'FeatureTracks: num_clusters is at least 1 and radius above 0, got '
                f'{num_clusters} and {radius}'
            )
        self.num_points, self.share = num_points, share
        self.num_clusters, self.radius = num_clusters, radius

    def choose(self, results: dict, rng: np.random.RandomState) -> np.ndarray:
        """Return the points."""
        depth = results['gt_depth']
        height, width = depth.shape
        count = draw_count(self.num_points, self.share, depth.size, rng)
        image = np.asarray(results['img'])
        gray = cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_BGR2GRAY)
        strength = cv2.cornerMinEigenVal(gray, blockSize=3)
        centers = rng.rand(self.num_clusters, 2) * (height, width)
        rows, columns = np.mgrid[:height, :width]
        squares = (rows - centers[:, :1, None]) ** 2 + (columns - centers[:, 1:, None]) ** 2
        scale = self.radius * min(height, width)
        nearness = np.exp(-squares.min(axis=0) / (2 * scale**2))
        # A little everywhere, so that an image without any corner has points too.
        weights = (strength + 1e-3 * strength.mean() + 1e-12) * (nearness + 1e-6)
        # The largest of log weight plus Gumbel noise are a draw without replacement.
        keys = np.log(weights) - np.log(-np.log(rng.uniform(1e-12, 1, weights.shape)))
        keys[depth <= 0] = -np.inf
        count = min(count, int((depth > 0).sum()))
        pixels = np.argpartition(-keys.ravel(), max(count - 1, 0))[:count]
        return _selected(depth, pixels)


@TRANSFORMS.register_module()
class LowResolutionToF(SparsePattern):
    """Time-of-flight camera of few pixels: the mean depth of each block, at the block's middle.

    A block of which less than half has ground truth has no point. A block at an edge of depth gets
    a mean that lies on neither side, as in the real sensor.

    Args:
        factor: Pixels of the image for one of the sensor, along each axis, such as 8.
        share: Instead the share of the image's pixels that get a point.
        max_range: Depth in metres beyond which the sensor measures nothing; None for no limit.
        **kwargs: ``noise``, ``dropout`` and ``seed``, see :class:`SparsePattern`.

    Raises:
        ValueError: If not exactly one of factor and share is given, or a value is impossible.
    """

    def __init__(
        self,
        factor: float | None = None,
        share: float | None = None,
        max_range: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (factor is None) == (share is None):
            raise ValueError(
                f'LowResolutionToF: give factor or share, got factor={factor} and share={share}'
            )
        if share is not None and not 0 < share <= 1:
            raise ValueError(f'LowResolutionToF: share is above 0 and at most 1, got {share}')
        self.factor = float(share**-0.5 if factor is None else factor)
        if self.factor < 1:
            raise ValueError(f'LowResolutionToF: factor is at least 1, got {factor}')
        if max_range is not None and not max_range > 0:
            raise ValueError(f'LowResolutionToF: max_range is above 0 m, got {max_range}')
        self.max_range = max_range

    def choose(self, results: dict, rng: np.random.RandomState) -> np.ndarray:
        """Return the points."""
        depth = np.asarray(results['gt_depth'], np.float64)
        row_starts, row_middles = self._blocks(depth.shape[0])
        column_starts, column_middles = self._blocks(depth.shape[1])

        def block_sums(values: np.ndarray) -> np.ndarray:
            sums = np.add.reduceat(values, row_starts, axis=0)
            return np.add.reduceat(sums, column_starts, axis=1)

        counts = block_sums((depth > 0).astype(np.float64))
        means = block_sums(depth) / np.maximum(counts, 1)
        seen = counts >= 0.5 * block_sums(np.ones_like(depth))
        if self.max_range is not None:
            seen &= means <= self.max_range
        points = np.zeros(depth.shape, np.float32)
        points[np.ix_(row_middles, column_middles)] = np.where(seen, means, 0)
        return points

    def _blocks(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and the middle pixel of each block along an axis."""
        count = max(round(length / self.factor), 1)
        edges = np.floor(np.arange(count + 1) * length / count).astype(int)
        return edges[:-1], (edges[:-1] + edges[1:] - 1) // 2


@TRANSFORMS.register_module()
class ChoosePattern(BaseTransform):
    """One pattern for each sample, drawn from several, for training on a mixture.

    Args:
        patterns: Configs of patterns.
        weights: Share of each, in any unit; equal by default.
        no_points: Share of samples without any point, which keep a model that is trained as a whole
            good without them.
        seed: As in :class:`SparsePattern`; those of the patterns are not used.

    Raises:
        ValueError: If a config is no pattern, or weights do not fit.
    """

    needs_ground_truth = True  # inference leaves the transform out

    def __init__(
        self,
        patterns: Sequence[dict],
        weights: Sequence[float] | None = None,
        no_points: float = 0.0,
        seed: int | None = None,
    ) -> None:
        self.patterns = [TRANSFORMS.build(pattern) for pattern in patterns]
        weights = [1.0] * len(patterns) if weights is None else list(weights)
        if not patterns or len(weights) != len(patterns) or min(weights) < 0 or not sum(weights):
            raise ValueError(
                'ChoosePattern: patterns is a list of configs and weights as many numbers, at '
                f'least 0 and one of them above, got {len(patterns)} patterns and {weights}'
            )
        for pattern in self.patterns:
            if not isinstance(pattern, SparsePattern):
                raise ValueError(f'ChoosePattern: {type(pattern).__name__} is no pattern')
        if not 0 <= no_points <= 1:
            raise ValueError(f'ChoosePattern: no_points is a share, got {no_points}')
        self.bounds = np.cumsum(weights) / sum(weights)
        self.no_points, self.seed = no_points, seed

    def transform(self, results: dict) -> dict:
        """Set ``sparse_depth`` by the pattern that is drawn."""
        rng = get_rng(results) if self.seed is None else sample_rng(results, self.seed)
        has_points = rng.rand() >= self.no_points
        index = min(int(np.searchsorted(self.bounds, rng.rand(), 'right')), len(self.bounds) - 1)
        if not has_points:
            # A map without points and not no map: the samples of a batch have equal fields.
            results['sparse_depth'] = np.zeros(results['img'].shape[:2], np.float32)
            return results
        # The pattern's own seed would give all samples of a mixture the same choice.
        results['sparse_depth'] = self.patterns[index].simulate(results, rng)
        return results


def _check_ground_truth(results: dict, name: str) -> None:
    """Refuse a sample without ground truth on the image's pixels; ``name`` is the pattern's."""
    if 'gt_depth' not in results:
        raise ValueError(
            f'{name}: {results.get("img_path", "the sample")} has no ground truth to draw points '
            f'from; put {name} behind LoadDepth'
        )
    shape, expected = results['gt_depth'].shape, results['img'].shape[:2]
    if shape != expected:
        raise ValueError(
            f'{name}: gt_depth of {results.get("img_path", "the sample")} is '
            f'{shape[0]}x{shape[1]}, the image {expected[0]}x{expected[1]}; put {name} in front of '
            'a Resize with resize_depth=False'
        )


def _selected(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return a map (H, W) float32 with the depth of the given flat pixel numbers, 0 elsewhere."""
    points = np.zeros(depth.shape, np.float32)
    points.flat[pixels] = depth.flat[pixels]
    return points
