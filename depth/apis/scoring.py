"""Scoring anybody's predictions against a data set: what is odd about them is said before the numbers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from depth.engine.config import open_config
from depth.evaluation import DepthMetric, PredictionType, get_prediction_type
from depth.registry import DATASETS, METRICS

from .prediction_files import PredictionFiles

SUSPICIOUS_FACTORS = (10.0, 100.0, 256.0, 1000.0, 1 / 10, 1 / 100, 1 / 256, 1 / 1000)
NEAR = 1.5  # a factor counts as near up to that ratio
NUM_PROBES = 8


@dataclass
class Score:
    """What came out.

    Attributes:
        metrics: Value by metric.
        notes: What was odd.
        metric: The metric, for its tables and files.
    """

    metrics: dict[str, float]
    notes: list[str]
    metric: DepthMetric


@dataclass
class _Probes:
    """Medians and correlations of the first images."""

    ratios: list[float] = field(default_factory=list)
    correlations: list[float] = field(default_factory=list)


def score_predictions(
    predictions: str | Path,
    dataset_config: str | Path | Config,
    protocol: str | None = None,
    prediction_type: str = 'metric',
    protocols: Sequence[str] | str = (),
    depth_scale: float | None = None,
    resize: str | None = None,
    force: bool = False,
    cfg_options: dict | None = None,
    report: Callable[[str], None] = print,
    progress: Callable[[Iterable], Iterable] = iter,
    view: str | None = None,
) -> Score:
    """Score files of predictions.

    Args:
        predictions: Folder or file, see :class:`~depth.apis.prediction_files.PredictionFiles`.
        dataset_config: Config whose ``test_dataloader.dataset`` has the ground truth; the base config of a data set
            will do.
        protocol: Name; by default what the config's ``test_evaluator`` says.
        prediction_type: What the predictions mean, see ``depth.evaluation.PredictionType``.
        protocols: Further protocols or ``'all'``, see ``DepthMetric``.
        depth_scale: Stored values per metre (or per 1/m).
        resize: Rule for predictions of another size where the protocol has none.
        force: Score although predictions are missing or their scale is suspicious.
        cfg_options: Values by dotted key that replace those of the config.
        report: Receives each note as it is found, before the numbers.
        progress: Wraps the loop.
        view: Another view of the frame than the protocol's, such as ``'any'``; shows in its name.

    Raises:
        FileNotFoundError, ValueError: If files or options do not fit; if predictions are missing or look as if they
            were stored with another scale or meant another type, unless ``force``.
    """
    kind = get_prediction_type(prediction_type)
    init_default_scope('depth')
    cfg = open_config(dataset_config, cfg_options)
    metric = _build_metric(cfg, protocol, protocols, kind, resize=resize, view=view)
    metric.protocol.check_type(kind)
    dataset = _build_dataset(cfg)
    files = PredictionFiles(predictions, depth_scale)
    scorer = _Scorer(metric, files, kind, force, report)
    names = scorer.match(_known_paths(dataset))
    indices = [index for index, name in enumerate(names) if name is not None]
    scorer.num_probes = min(NUM_PROBES, len(indices))
    for index in progress(indices):
        scorer.score(dataset[index]['data_samples'], names[index])
    scorer.report_sizes()
    return Score(metric.evaluate(len(indices)), scorer.notes, metric)


class _Scorer:
    """Reads each pair once; checks the first ones before it goes on."""

    def __init__(
        self,
        metric: DepthMetric,
        files: PredictionFiles,
        kind: PredictionType,
        force: bool,
        report: Callable[[str], None],
    ) -> None:
        self.metric, self.files, self.kind, self.force = metric, files, kind, force
        self.report = report
        self.notes: list[str] = []
        self.probes = _Probes()
        self.num_probes = NUM_PROBES
        self.sizes: dict[str, tuple[int, str]] = {}
        self.reduced_frames: set[tuple[int, ...]] = set()

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.report(text)

    def object_to(self, text: str) -> None:
        """Refuse, or only note it if forced."""
        if not self.force:
            raise ValueError(f'{text}. Nothing was scored; --force scores nevertheless')
        self.note(text)

    def match(self, images: list[tuple[str | None, ...]]) -> list[str | None]:
        names = self.files.match(images)
        missing = [known_as[0] for known_as, name in zip(images, names, strict=True) if name is None]
        extra = sorted(set(self.files.paths) - {name for name in names if name is not None})
        if extra:
            self.note(f'{len(extra)} predictions belong to no image of the data set: {_some(extra)}')
        if len(missing) == len(images):
            raise ValueError(
                f'none of the {len(images)} images has a prediction in {self.files.path}; names are compared without '
                f'suffix, an image is {images[0][0]}, a prediction {next(iter(self.files.paths))}'
            )
        if missing:
            self.object_to(f'{len(missing)} of {len(images)} images have no prediction: {_some(missing)}')
        return names

    def score(self, sample: object, name: str) -> None:
        pred = torch.from_numpy(self.files.read(name))
        gt_depth = sample.gt_depth
        crop_box = sample.metainfo.get('crop_box')
        cut = cut_like(pred, gt_depth.shape, crop_box, sample.metainfo.get('frame_shape'))
        is_new = tuple(pred.shape) not in self.reduced_frames
        if cut is pred and is_new and is_reduced_frame(pred.shape, gt_depth.shape, crop_box):
            self.reduced_frames.add(tuple(pred.shape))
            self.object_to(
                f'prediction {name} of {tuple(pred.shape)} has the shape of the whole frame, of which the ground truth '
                f'{tuple(gt_depth.shape)} is a part, so stretching it onto that part would shift everything: resize '
                'predictions to the size of the frame, or take the crop out of the test pipeline'
            )
        if cut is not pred:
            self._count_size('cut to the crop of the test pipeline', pred, gt_depth)
        elif pred.shape != gt_depth.shape:
            self._count_size(f'resized ({self.metric.protocol.resize})', pred, gt_depth)
        if len(self.probes.ratios) < self.num_probes:
            self._probe(cut, gt_depth)
        self.metric.process({}, [dict(sample.to_dict(), pred_depth=cut, prediction_type=self.kind.value)])

    def _count_size(self, what: str, pred: torch.Tensor, gt_depth: torch.Tensor) -> None:
        example = f'{tuple(pred.shape)} for ground truth {tuple(gt_depth.shape)}'
        count, first = self.sizes.get(what, (0, example))
        self.sizes[what] = count + 1, first

    def report_sizes(self) -> None:
        """Say how many predictions had another size."""
        for what, (count, first) in self.sizes.items():
            self.note(
                f'{count} predictions have another size than the ground truth and were {what}, the first: {first}'
            )

    def _probe(self, pred: torch.Tensor, gt_depth: torch.Tensor) -> None:
        found = compare_scale(pred.numpy(), gt_depth.numpy(), self.kind.is_inverse)
        if found is None:
            self.num_probes -= 1
        else:
            self.probes.ratios.append(found[0])
            self.probes.correlations.append(found[1])
        if self.num_probes and len(self.probes.ratios) >= self.num_probes:
            for text in suspicions(self.probes.ratios, self.probes.correlations, self.kind):
                self.object_to(text)


def compare_scale(pred: np.ndarray, gt_depth: np.ndarray, inverse: bool) -> tuple[float, float] | None:
    """Return median(prediction) / median(ground truth) and their correlation, None if nothing can be compared.

    Args:
        pred: (h, w), any size.
        gt_depth: Metres, (H, W), 0 = none.
        inverse: Whether to compare with inverse depth.
    """
    rows, columns = np.nonzero(gt_depth > 0)
    if not len(rows):
        return None
    # The pixels in which the centres lie, so that a map of another size can be compared too.
    height, width = gt_depth.shape
    nearest = (2 * rows + 1) * pred.shape[0] // (2 * height), (2 * columns + 1) * pred.shape[1] // (2 * width)
    values = pred[nearest].astype(np.float64)
    true = gt_depth[rows, columns].astype(np.float64)
    true = 1 / true if inverse else true
    kept = np.isfinite(values)
    if not kept.any():
        return None
    values, true = values[kept], true[kept]
    spread = values.std() * true.std()
    correlation = float(((values - values.mean()) * (true - true.mean())).mean() / spread) if spread > 0 else 0.0
    return float(np.median(values) / np.median(true)), correlation


def suspicions(ratios: Sequence[float], correlations: Sequence[float], kind: PredictionType) -> list[str]:
    """Return what is odd about the scale and the direction of predictions, in words.

    Args:
        ratios: median(prediction) / median(ground truth) of some images.
        correlations: Of the same images.
        kind: What the predictions are said to be.
    """
    found = []
    ratio, correlation = float(np.median(ratios)), float(np.median(correlations))
    for factor in SUSPICIOUS_FACTORS if kind.ambiguity == 0 else ():
        if 1 / NEAR < ratio / factor < NEAR:
            name = f'{factor:g}' if factor > 1 else f'1/{1 / factor:g}'
            found.append(
                f'predictions are {ratio:.4g} times the ground truth in the median, which is near {name}: they were '
                'probably stored with another scale; see --depth-scale'
            )
    if correlation < -0.5:
        direction = 'depth falls' if kind.is_inverse else 'inverse depth falls'
        found.append(
            f'predictions fall where they should rise (correlation {correlation:.2f}): they look like values that grow '
            f'where {direction}, not like {kind.value} ({kind.meaning}); see --type'
        )
    return found


def cut_like(
    pred: torch.Tensor,
    size: Sequence[int],
    crop_box: Sequence[int] | None,
    frame_shape: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return the part of a full-frame prediction that the test pipeline's crop left of the ground truth.

    Args:
        pred: (h, w).
        size: (H, W) of the cropped ground truth.
        crop_box: (top, left, height, width) in the frame, None if it was not cropped.
        frame_shape: (h, w) of the frame. Without it the crop is taken for a bottom, central one (KITTI's).

    Returns:
        ``pred`` itself unless it has the frame's size.
    """
    if crop_box is None or tuple(pred.shape) == tuple(size):
        return pred
    top, left, height, width = crop_box
    if frame_shape is not None:
        is_frame = tuple(pred.shape) == tuple(frame_shape)
    else:
        is_frame = pred.shape[0] == top + height and pred.shape[1] - width - 2 * left in (0, 1)
    if not is_frame:
        return pred
    return pred[top : top + height, left : left + width]


def is_reduced_frame(shape: Sequence[int], size: Sequence[int], crop_box: Sequence[int] | None) -> bool:
    """Return whether a prediction (h, w) has the aspect of the frame that a bottom, central crop was taken from.

    Args:
        shape: Of the prediction.
        size: (H, W) of the cropped ground truth.
        crop_box: (top, left, height, width) in the frame, None if it was not cropped.
    """
    if crop_box is None or tuple(shape) == tuple(size):
        return False
    top, left, height, width = crop_box
    found, crop, frame = (np.log(w / h) for h, w in (shape, (height, width), (top + height, width + 2 * left)))
    return abs(found - frame) < abs(found - crop)


def _build_metric(
    cfg: Config, protocol: str | None, protocols: Sequence[str] | str, kind: PredictionType, **changes: str | None
) -> DepthMetric:
    evaluators = cfg.get('test_evaluator') or cfg.get('val_evaluator') or []
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    options = next((dict(evaluator) for evaluator in evaluators if evaluator.get('type') == 'DepthMetric'), None)
    if protocol is not None:  # what changes the config's protocol is left behind, further metrics are not
        kept = {name: value for name, value in (options or {}).items() if name in ('distance_bins', 'boundary_ratio')}
        options = dict(type='DepthMetric', protocol=protocol, **kept)
    if options is None:
        raise ValueError('the config names no DepthMetric, so say which --protocol; docs/evaluation.md lists them')
    options |= {name: value for name, value in changes.items() if value is not None}
    return METRICS.build(options | dict(protocols=protocols, prediction_type=kind.value))


def _build_dataset(cfg: Config) -> Sequence:
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise ValueError('the config has no test_dataloader, so there is no ground truth to score against')
    return DATASETS.build(loader['dataset'])


def _known_paths(dataset: Sequence) -> list[tuple[str | None, ...]]:
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if hasattr(dataset, 'get_data_info'):
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        return [(info['img_path'], info.get('depth_path')) for info in infos]
    samples = (dataset[index]['data_samples'] for index in range(len(dataset)))
    return [(sample.img_path, None) for sample in samples]


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
