"""Content of a report: results, training scalars and configs of runs, and errors of their predictions."""

import ast
import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from depth.engine.config import open_config
from depth.evaluation import error_breakdown as breakdown
from depth.evaluation.crops import CROPS
from depth.evaluation.functional import depth_metrics
from depth.evaluation.per_image import PerImage, read_per_image
from depth.evaluation.prediction_types import PredictionType, get_prediction_type
from depth.evaluation.protocols import Protocol
from depth.evaluation.report import relative_names

from .prediction_files import PredictionFiles
from .scoring import build_test_dataset, cut_like, list_image_paths

NUM_DISTANCE_BINS = 20
FARTHEST = 80.0  # metres; end of the distances of a protocol without a far end
IGNORED_CONFIG_KEYS = ('work_dir',)  # differ in any two runs
# Quantisation of 16-bit PNG moves abs_rel by less; predictions of another checkpoint by more.
SAME_RESULT = 0.01


@dataclass(frozen=True)
class Run:
    """Result of one test, with what lies in its folders.

    Attributes:
        label: Name in the report.
        result: Metrics of every image under the reported protocol.
        metrics: Metrics of the whole test as its JSON file states them, empty if there is none.
        training: Work dir of the training, None if it is not known.
        config_folder: Folder of the config: that of the training if it was named, else of the test.
    """

    label: str
    result: PerImage
    metrics: dict[str, float]
    training: Path | None
    config_folder: Path

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the protocol."""
        return self.result.protocol['fingerprint']


@dataclass
class PredictionErrors:
    """Errors of the predictions of one run, image by image.

    Attributes:
        names: Images.
        indices: Position of each image in the data set.
        abs_rel: Of each image, under the protocol.
        scale: Median of prediction / ground truth of each image, before any alignment; empty where
            predictions have no scale.
        by_gradient: ``abs_rel`` of each image in each of ``GRADIENT_BANDS``.
        by_edge: ``abs_rel`` of each image in each of ``EDGE_BANDS``; NaN for sparse ground truth.
        distance_edges: Bins of true distance, in metres.
        counts: Pixels by distance and relative error, see ``error_counts``.
    """

    distance_edges: list[float]
    names: list[str] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    abs_rel: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    by_gradient: list[np.ndarray] = field(default_factory=list)
    by_edge: list[np.ndarray] = field(default_factory=list)
    counts: Tensor | int = 0


@dataclass(frozen=True)
class Maps:
    """Arrays of one image under a protocol, cut to its crop.

    Attributes:
        image: BGR uint8, (H, W, 3).
        depth: Prediction in metres, (H, W), 0 where it is impossible.
        gt_depth: Metres, (H, W), 0 = none.
        mask: Boolean, (H, W).
    """

    image: np.ndarray
    depth: np.ndarray
    gt_depth: np.ndarray
    mask: np.ndarray


def read_runs(
    results: Sequence[str | Path],
    names: Sequence[str] = (),
    training: Sequence[str | Path] = (),
    protocol: str | None = None,
) -> list[Run]:
    """Read the results of tests.

    Args:
        results: See :func:`depth.evaluation.per_image.find_file`.
        names: One a result; by default the paths below the folder that all share.
        training: Work dir of each result's training; by default that of the test.
        protocol: Name; by default each test's main protocol.

    Raises:
        FileNotFoundError: If a result or a work dir is not there.
        ValueError: If a file is damaged or the numbers of names or work dirs do not fit.
    """
    for option, values in (('names', names), ('training', training)):
        if values and len(values) != len(results):
            raise ValueError(
                f'{option}: need one a result, got {len(values)} for {len(results)} results'
            )
    labels = list(names) or relative_names([str(Path(path).absolute()) for path in results])
    runs: list[Run] = []
    for index, (path, label) in enumerate(zip(results, labels, strict=True)):
        # One result may be given twice, under two protocols' files for example.
        while any(run.label == label for run in runs):
            label = f'{label} ({index + 1})'
        result = read_per_image(path, protocol)
        folder = result.path.parent
        # A training and its tests have folders beside each other in one work dir.
        work_dir = folder.parent if result.path.name.startswith('per_image') else None
        if training:
            work_dir = folder = Path(training[index])
            if not folder.is_dir():
                raise FileNotFoundError(f'training: {folder} is no folder')
        runs.append(Run(label, result, read_metrics(result.path, protocol), work_dir, folder))
    return runs


def read_metrics(path: Path, protocol: str | None) -> dict[str, float]:
    """Return the metrics of a test by plain name, empty if there are none.

    Args:
        path: File of its per-image values.
        protocol: Name of a further protocol, None for the main one.
    """
    metrics_path = path.parent / f'{path.parent.name}.json'
    dataset = ''
    if path.name.endswith('.per_image.json'):
        metrics_path = path.with_name(path.name.replace('.per_image.json', '.json'))
    elif path.stem != 'per_image':  # of one data set of a mixed test
        dataset = path.stem.removeprefix('per_image_') + '/'
    if not metrics_path.is_file():
        return {}
    try:
        content = json.loads(metrics_path.read_text(encoding='utf-8'))
        names = list(content)
    except (ValueError, TypeError) as error:
        raise ValueError(f'{metrics_path} holds no metrics: {error}') from error
    # Metrics of a further protocol have its name in front, those of the main one have none.
    prefix = dataset
    if protocol is not None and any(name.startswith(f'{dataset}{protocol}/') for name in names):
        prefix = f'{dataset}{protocol}/'
    metrics = {}
    for name in names:
        if name.startswith(prefix) and isinstance(content[name], int | float):
            metrics[name.removeprefix(prefix)] = float(content[name])
    return metrics


def read_scalars(folder: Path) -> dict[str, np.ndarray]:
    """Return the logged training values, (N, 2) of step and value by name.

    Values of the validation, whose lines have no ``iter``, are called ``val/<name>``. A resumed
    training has several files; a later one counts from its first step on.

    Args:
        folder: Work dir, or the folder of one run in it.

    Raises:
        ValueError: If a file is damaged.
    """
    paths = sorted(folder.glob('vis_data/scalars.json'))
    paths += sorted(folder.glob('*/vis_data/scalars.json'))
    values: dict[str, dict[int, float]] = {}
    for path in paths:
        lines = path.read_text(encoding='utf-8').splitlines()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                step = int(record['step'])
            except (ValueError, KeyError, TypeError) as error:
                # A killed run leaves half a line.
                if number == len(lines):
                    continue
                raise ValueError(
                    f'{path}: line {number} is no record of scalars: {error}'
                ) from error
            prefix = '' if 'iter' in record else 'val/'
            for name, value in record.items():
                if name not in ('iter', 'step', 'epoch') and isinstance(value, int | float):
                    values.setdefault(prefix + name, {})[step] = float(value)
    return {name: np.array(sorted(points.items())) for name, points in values.items()}


def read_config(folder: Path) -> dict[str, str] | None:
    """Return the values of a run's config, as text by dotted key; None if its file is not there.

    The file is parsed, never executed.

    Raises:
        ValueError: If it is no config as the toolbox writes it.
    """
    paths = [folder / 'vis_data/config.py']
    paths += sorted(folder.glob('*/vis_data/config.py'), reverse=True)
    for path in paths:
        if not path.is_file():
            continue
        try:
            tree = ast.parse(path.read_text(encoding='utf-8'))
        except (SyntaxError, ValueError) as error:
            raise ValueError(f'{path} is no config: {error}') from error
        values: dict[str, str] = {}
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                _flatten(statement.targets[0].id, statement.value, values)
        return values
    return None


def _flatten(key: str, node: ast.expr, values: dict[str, str]) -> None:
    """Add the leaves of an expression to ``values``: ``dict(a=1)`` at ``key`` becomes ``key.a``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        for keyword in node.keywords:
            _flatten(f'{key}.{keyword.arg}', keyword.value, values)
    elif isinstance(node, ast.Dict) and node.keys:
        for name, value in zip(node.keys, node.values, strict=True):
            text = name.value if isinstance(name, ast.Constant) else ast.unparse(name or node)
            _flatten(f'{key}.{text}', value, values)
    elif isinstance(node, ast.List | ast.Tuple) and any(
        isinstance(item, ast.Call | ast.Dict) for item in node.elts
    ):
        for index, item in enumerate(node.elts):
            _flatten(f'{key}.{index}', item, values)
    else:
        values[key] = ast.unparse(node)


def config_difference(first: dict[str, str], second: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return key and both values where two configs differ; '' stands for a key that one lacks."""
    rows = []
    for key in sorted(first.keys() | second.keys()):
        values = first.get(key, ''), second.get(key, '')
        if values[0] != values[1] and key not in IGNORED_CONFIG_KEYS:
            rows.append((key, *values))
    return rows


def scene_pattern(protocol: dict) -> str | None:
    """Return the pattern of scenes in image paths of the protocol's data set, None without one."""
    from depth import datasets

    for name in datasets.__all__:
        dataset = getattr(datasets, name)
        pattern = getattr(dataset, 'SCENE_OF', None)
        if pattern and dataset.METAINFO.get('dataset_name') in protocol.get('datasets', ()):
            return pattern
    return None


def scenes_of(images: Sequence[str], pattern: str) -> list[str | None]:
    """Return the scene of each image, None where the path does not tell.

    Raises:
        ValueError: If the pattern is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f'scene pattern {pattern!r} is no regular expression: {error}') from error
    scenes = []
    for image in images:
        # Patterns look for a folder between two separators; the first folder has none before it.
        match = compiled.search('/' + image.replace('\\', '/'))
        scenes.append(match.group() if match else None)
    return scenes


class PredictionReader:
    """Pairs of prediction and ground truth of a data set, under the protocol of a result.

    Args:
        predictions: Folder or file, see ``PredictionFiles``.
        dataset_config: Config whose test data set has the ground truth.
        protocol: The protocol as a result describes it.
        cfg_options: Values by dotted key that replace those of the config.

    Raises:
        FileNotFoundError, ValueError: If files, config and protocol do not fit.
    """

    def __init__(
        self,
        predictions: str | Path,
        dataset_config: str | Path | Config,
        protocol: dict,
        cfg_options: dict | None = None,
    ) -> None:
        init_default_scope('depth')
        self.files = PredictionFiles(predictions)
        self.kind = get_prediction_type(self.files.stated_type() or 'metric')
        self.protocol = described_protocol(protocol)
        self.dataset = build_test_dataset(open_config(dataset_config, cfg_options))
        paths = list_image_paths(self.dataset)
        self.names = self.files.match(paths)
        # As in results, images go by their paths below the folder that all share.
        self.images = relative_names([image for image, _ in paths])
        if all(name is None for name in self.names):
            raise ValueError(
                f'none of the {len(self.names)} images of the data set has a prediction in '
                f'{predictions}; an image is {paths[0][0]}, a prediction '
                f'{next(iter(self.files.paths))}'
            )

    def load(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return prediction (h, w), ground truth (H, W) and image (3, H, W) of one sample."""
        sample = self.dataset[index]
        data = sample['data_samples']
        gt_depth = self.protocol.limit_view(data.gt_depth[None], [data.metainfo])[0]
        pred = torch.from_numpy(self.files.read(self.names[index]))
        crop_box = data.metainfo.get('crop_box')
        pred = cut_like(pred, gt_depth.shape, crop_box, data.metainfo.get('frame_shape'))
        image = sample['inputs'][None].float()
        if image.shape[-2:] != gt_depth.shape:
            # The network's size; the page compares pixels of the ground truth.
            size = tuple(gt_depth.shape)
            image = F.interpolate(image, size=size, mode='bilinear', antialias=True)
        return pred, gt_depth, image[0]

    def prepare(self, pred: Tensor, gt_depth: Tensor, protocol: Protocol) -> tuple[Tensor, ...]:
        """Return depth, ground truth and mask under a protocol, (H, W) each, cut to its crop."""
        prepared = protocol.prepare(pred[None], gt_depth[None], self.kind)
        return tuple(tensor[0] for tensor in prepared)

    def cut(self, image: Tensor) -> Tensor:
        """Return an image (3, H, W) cut to the crop of the protocol."""
        top, bottom, left, right = CROPS[self.protocol.crop](*image.shape[-2:])
        return image[:, top:bottom, left:right]

    def maps(self, index: int) -> Maps:
        """Return the arrays of one sample for its picture."""
        pred, gt_depth, image = self.load(index)
        depth, gt_depth, mask = self.prepare(pred, gt_depth, self.protocol)
        picture = self.cut(image).clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0)
        return Maps(
            np.ascontiguousarray(picture.numpy()),
            depth.nan_to_num(0, 0, 0).numpy(),
            gt_depth.numpy(),
            mask.numpy(),
        )

    def measure(self, progress: Callable[[Iterable], Iterable] = iter) -> PredictionErrors:
        """Return the errors of all predictions; images without ground truth that counts are left out.

        Args:
            progress: Wraps the loop over images.
        """
        far = min(self.protocol.max_depth, FARTHEST)
        edges = np.linspace(self.protocol.min_depth, far, NUM_DISTANCE_BINS + 1).tolist()
        errors = PredictionErrors(edges)
        has_scale = self.kind is PredictionType.METRIC
        unaligned = dataclasses.replace(self.protocol, alignment='none', clamp=None)
        num_gradients, num_edges = len(breakdown.GRADIENT_BANDS), len(breakdown.EDGE_BANDS)
        for index in progress(range(len(self.names))):
            if self.names[index] is None:
                continue
            pred, full_gt_depth, image = self.load(index)
            depth, gt_depth, mask = self.prepare(pred, full_gt_depth, self.protocol)
            if not mask.any():
                continue
            relative = (depth - gt_depth).abs() / gt_depth
            errors.names.append(self.images[index])
            errors.indices.append(index)
            try:
                errors.abs_rel.append(depth_metrics(depth, gt_depth, mask)['abs_rel'])
            except ValueError as error:
                raise ValueError(
                    f'prediction {self.names[index]} in {self.files.path}: {error}'
                ) from error
            if has_scale:
                raw = self.prepare(pred, full_gt_depth, unaligned)[0]
                errors.scale.append(breakdown.scale_ratio(raw, gt_depth, mask))
            bands = breakdown.gradient_bands(self.cut(image), mask)
            errors.by_gradient.append(
                breakdown.band_means(relative, bands, mask, num_gradients).numpy()
            )
            if mask.float().mean() < breakdown.DENSE_SHARE:
                errors.by_edge.append(np.full(num_edges, math.nan))
            else:
                bands = breakdown.edge_bands(gt_depth, mask)
                errors.by_edge.append(
                    breakdown.band_means(relative, bands, mask, num_edges).numpy()
                )
            errors.counts = errors.counts + breakdown.error_counts(depth, gt_depth, mask, edges)
        if not errors.names:
            raise ValueError(
                f'{self.files.path}: no image has ground truth that counts under '
                f'{self.protocol.name}'
            )
        return errors


def described_protocol(described: dict) -> Protocol:
    """Return the protocol that a result describes.

    Raises:
        ValueError: If a field is missing or wrong.
    """
    values = {}
    for entry in dataclasses.fields(Protocol):
        if entry.name in described:
            value = described[entry.name]
            values[entry.name] = tuple(value) if isinstance(value, list) else value
    # JSON has no infinity: null stands for a range without a far end.
    if values.get('max_depth') is None:
        values['max_depth'] = math.inf
    try:
        return Protocol(**values)
    except TypeError as error:
        raise ValueError(f'the result describes no complete protocol: {error}') from error
