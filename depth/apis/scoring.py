"""Scoring of prediction files against a data set, with checks of names, sizes and scale."""

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

# Between units, and between common depth scales.
SUSPICIOUS_FACTORS = (10.0, 100.0, 256.0, 1000.0, 1 / 10, 1 / 100, 1 / 256, 1 / 1000)
# Up to this ratio a scale counts as near a suspicious factor.
NEAR_RATIO = 1.5
NUM_PROBES = 8  # images whose scale and direction are checked
DETAIL_OPTIONS = ('distance_bins', 'boundary_ratio', 'pixel_metrics')


@dataclass
class Score:
    """Result of scoring prediction files.

    Attributes:
        metrics: Value by metric.
        notes: Remarks on predictions that were odd but scored.
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
    prediction_type: str | None = None,
    protocols: Sequence[str] | str = (),
    depth_scale: float | None = None,
    resize: str | None = None,
    force: bool = False,
    cfg_options: dict | None = None,
    report: Callable[[str], None] = print,
    progress: Callable[[Iterable], Iterable] = iter,
    view: str | None = None,
    device: str | torch.device = 'cpu',
) -> Score:
    """Score files of predictions.

    Args:
        predictions: Folder or file, see :class:`~depth.apis.prediction_files.PredictionFiles`.
        dataset_config: Config whose ``test_dataloader.dataset`` has the ground truth, such as the
            base config of a data set.
        protocol: Name; by default that of the config's ``test_evaluator``.
        prediction_type: Type of the predictions, see ``depth.evaluation.PredictionType``; by
            default the one that their side-cars state, ``'metric'`` without any.
        protocols: Further protocols or ``'all'``, see ``DepthMetric``.
        depth_scale: Stored values per metre (or per 1/m).
        resize: Rule for predictions of another size where the protocol has none.
        force: Score although predictions are missing or their scale is suspicious.
        cfg_options: Values by dotted key that replace those of the config.
        report: Called with each note at once, before the numbers.
        progress: Wraps the loop over images.
        view: Another view of the frame than the protocol's, such as ``'any'``; shows in its name.
        device: Where the metrics are computed, such as ``'cuda'``; reading and checks of the files
            stay on the CPU.

    Raises:
        FileNotFoundError, ValueError: If files or options do not fit or there is no such device;
            unless ``force``, if predictions are missing or their values suggest another scale or
            type.
    """
    device = _check_device(device)
    init_default_scope('depth')
    cfg = open_config(dataset_config, cfg_options)
    files = PredictionFiles(predictions, depth_scale)
    kind = get_prediction_type(prediction_type or files.stated_type() or 'metric')
    metric = _build_metric(cfg, protocol, protocols, kind, resize=resize, view=view)
    metric.protocol.check_type(kind)
    dataset = build_test_dataset(cfg)
    scorer = _Scorer(metric, files, kind, force, report, device)
    names = scorer.match(list_image_paths(dataset))
    indices = [index for index, name in enumerate(names) if name is not None]
    scorer.num_probes = min(NUM_PROBES, len(indices))
    for index in progress(indices):
        scorer.score(dataset[index]['data_samples'], names[index])
    scorer.report_sizes()
    return Score(metric.evaluate(len(indices)), scorer.notes, metric)


class _Scorer:
    """Loop over pairs of prediction and ground truth; checks the first pairs before it goes on."""

    def __init__(
        self,
        metric: DepthMetric,
        files: PredictionFiles,
        kind: PredictionType,
        force: bool,
        report: Callable[[str], None],
        device: torch.device,
    ) -> None:
        self.metric, self.files, self.kind, self.force = metric, files, kind, force
        self.report, self.device = report, device
        self.notes: list[str] = []
        self.probes = _Probes()
        self.num_probes = NUM_PROBES
        self.sizes: dict[str, tuple[int, str]] = {}
        self.reduced_frames: set[tuple[int, ...]] = set()

    def note(self, text: str) -> None:
        """Keep and report a remark."""
        self.notes.append(text)
        self.report(text)

    def object_to(self, text: str) -> None:
        """Raise ``ValueError``, or only note the text if forced."""
        if not self.force:
            raise ValueError(f'{text}. Nothing was scored; --force scores nevertheless')
        self.note(text)

    def match(self, images: list[tuple[str | None, ...]]) -> list[str | None]:
        """Return the name of each image's prediction, None where it is missing; note mismatches."""
        names = self.files.match(images)
        missing = []
        for paths, name in zip(images, names, strict=True):
            if name is None:
                missing.append(paths[0])
        extra = sorted(set(self.files.paths) - set(names))
        if extra:
            self.note(
                f'{len(extra)} predictions belong to no image of the data set: '
                f'{_first_names(extra)}'
            )
        if len(missing) == len(images):
            raise ValueError(
                f'none of the {len(images)} images has a prediction in {self.files.path}; names '
                f'are compared without suffix, an image is {images[0][0]}, a prediction '
                f'{next(iter(self.files.paths))}'
            )
        if missing:
            self.object_to(
                f'{len(missing)} of {len(images)} images have no prediction: '
                f'{_first_names(missing)}'
            )
        return names

    def score(self, sample: object, name: str) -> None:
        """Read the prediction of a sample, check it and pass the pair to the metric."""
        pred = torch.from_numpy(self.files.read(name))
        gt_depth = sample.gt_depth
        crop_box = sample.metainfo.get('crop_box')
        cut = cut_like(pred, gt_depth.shape, crop_box, sample.metainfo.get('frame_shape'))
        is_new = tuple(pred.shape) not in self.reduced_frames
        if cut is pred and is_new and is_reduced_frame(pred.shape, gt_depth.shape, crop_box):
            self.reduced_frames.add(tuple(pred.shape))
            self.object_to(
                f'prediction {name} of {tuple(pred.shape)} has the shape of the whole frame, of '
                f'which the ground truth {tuple(gt_depth.shape)} is a part, so stretching it onto '
                'that part would shift everything: resize predictions to the size of the frame, or '
                'take the crop out of the test pipeline'
            )
        if cut is not pred:
            self._count_size('cut to the crop of the test pipeline', pred, gt_depth)
        elif pred.shape != gt_depth.shape:
            self._count_size(f'resized ({self.metric.protocol.resize})', pred, gt_depth)
        # Images without ground truth tell nothing about the scale: _probe lowers num_probes then.
        if len(self.probes.ratios) < self.num_probes:
            self._probe(cut, gt_depth)
        scored = dict(
            sample.to_dict(), pred_depth=cut.to(self.device), prediction_type=self.kind.value
        )
        self.metric.process({}, [scored])

    def _count_size(self, treatment: str, pred: torch.Tensor, gt_depth: torch.Tensor) -> None:
        example = f'{tuple(pred.shape)} for ground truth {tuple(gt_depth.shape)}'
        count, first = self.sizes.get(treatment, (0, example))
        self.sizes[treatment] = count + 1, first

    def report_sizes(self) -> None:
        """Note how many predictions have another size than ground truth, and their treatment."""
        for treatment, (count, first) in self.sizes.items():
            self.note(
                f'{count} predictions have another size than the ground truth and were '
                f'{treatment}, the first: {first}'
            )

    def _probe(self, pred: torch.Tensor, gt_depth: torch.Tensor) -> None:
        """Compare the scale of one image; object after the last one that is compared."""
        comparison = compare_scale(pred.numpy(), gt_depth.numpy(), self.kind.is_inverse)
        if comparison is None:
            self.num_probes -= 1
        else:
            ratio, correlation = comparison
            self.probes.ratios.append(ratio)
            self.probes.correlations.append(correlation)
        if self.num_probes and len(self.probes.ratios) >= self.num_probes:
            for text in suspicions(self.probes.ratios, self.probes.correlations, self.kind):
                self.object_to(text)


def compare_scale(
    pred: np.ndarray, gt_depth: np.ndarray, inverse: bool
) -> tuple[float, float] | None:
    """Return median(prediction) / median(ground truth) and their correlation, None without pixels.

    Args:
        pred: (h, w), any size.
        gt_depth: Metres, (H, W), 0 = none.
        inverse: Whether to compare with inverse depth.
    """
    rows, columns = np.nonzero(gt_depth > 0)
    if not len(rows):
        return None
    # The pixels in which the centres of the valid pixels lie, for a map of any size.
    height, width = gt_depth.shape
    pred_rows = (2 * rows + 1) * pred.shape[0] // (2 * height)
    pred_columns = (2 * columns + 1) * pred.shape[1] // (2 * width)
    values = pred[pred_rows, pred_columns].astype(np.float64)
    true = gt_depth[rows, columns].astype(np.float64)
    if inverse:
        true = 1 / true
    finite = np.isfinite(values)
    if not finite.any():
        return None
    values, true = values[finite], true[finite]
    spread = values.std() * true.std()
    # A constant map has no direction.
    correlation = 0.0
    if spread > 0:
        correlation = float(((values - values.mean()) * (true - true.mean())).mean() / spread)
    return float(np.median(values) / np.median(true)), correlation


def suspicions(
    ratios: Sequence[float], correlations: Sequence[float], kind: PredictionType
) -> list[str]:
    """Return remarks on a scale near a usual factor and on values that fall where they should rise.

    Args:
        ratios: median(prediction) / median(ground truth) of some images.
        correlations: Correlation of prediction and ground truth of the same images.
        kind: Declared type of the predictions.
    """
    remarks = []
    ratio, correlation = float(np.median(ratios)), float(np.median(correlations))
    # Where a factor is unknown anyway, no scale is suspicious.
    factors = SUSPICIOUS_FACTORS if kind.ambiguity == 0 else ()
    for factor in factors:
        if 1 / NEAR_RATIO < ratio / factor < NEAR_RATIO:
            name = f'{factor:g}' if factor > 1 else f'1/{1 / factor:g}'
            remarks.append(
                f'predictions are {ratio:.4g} times the ground truth in the median, which is near '
                f'{name}: they were probably stored with another scale; see --depth-scale'
            )
    if correlation < -0.5:
        direction = 'depth falls' if kind.is_inverse else 'inverse depth falls'
        remarks.append(
            f'predictions fall where they should rise (correlation {correlation:.2f}): they look '
            f'like values that grow where {direction}, not like {kind.value} ({kind.meaning}); see '
            '--type'
        )
    return remarks


def cut_like(
    pred: torch.Tensor,
    size: Sequence[int],
    crop_box: Sequence[int] | None,
    frame_shape: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return a full-frame prediction cut to the crop of the test pipeline.

    Args:
        pred: (h, w).
        size: (H, W) of the cropped ground truth.
        crop_box: (top, left, height, width) in the frame, None if it was not cropped.
        frame_shape: (h, w) of the frame. Without it the crop is taken for a bottom, central one
            (KITTI's).

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


def is_reduced_frame(
    shape: Sequence[int], size: Sequence[int], crop_box: Sequence[int] | None
) -> bool:
    """Return whether a prediction (h, w) has the aspect of the frame that was cropped.

    Args:
        shape: Of the prediction.
        size: (H, W) of the cropped ground truth.
        crop_box: (top, left, height, width) in the frame, None if it was not cropped.
    """
    if crop_box is None or tuple(shape) == tuple(size):
        return False
    top, left, height, width = crop_box
    # The crop is taken for a bottom, central one: its left margin is on both sides of the frame.
    # Logarithms make 2:1 and 1:2 equally far from a square.
    aspect = np.log(shape[1] / shape[0])
    crop_aspect = np.log(width / height)
    frame_aspect = np.log((width + 2 * left) / (top + height))
    return abs(aspect - frame_aspect) < abs(aspect - crop_aspect)


def _check_device(name: str | torch.device) -> torch.device:
    """Return the device, which must be there.

    Raises:
        ValueError: If it is none, or a GPU that is not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device is 'cpu', 'cuda' or 'cuda:N', got {name!r}") from None
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f'device {str(device)!r} was asked for, but {torch.cuda.device_count()} CUDA devices '
            'are there'
        )
    return device


def _build_metric(
    cfg: Config,
    protocol: str | None,
    protocols: Sequence[str] | str,
    kind: PredictionType,
    **changes: str | None,
) -> DepthMetric:
    evaluators = cfg.get('test_evaluator') or cfg.get('val_evaluator') or []
    if not isinstance(evaluators, list):
        evaluators = [evaluators]
    options: dict = {}
    for evaluator in evaluators:
        if evaluator.get('type') == 'DepthMetric':
            options = dict(evaluator)
            break
    if protocol is not None:
        # Changes of the config's protocol do not apply to another one; further metrics do.
        options = {name: value for name, value in options.items() if name in DETAIL_OPTIONS}
        options['protocol'] = protocol
    if not options:
        raise ValueError(
            'the config names no DepthMetric, so say which --protocol; docs/evaluation.md lists '
            'them'
        )
    for name, value in changes.items():
        if value is not None:
            options[name] = value
    options.update(type='DepthMetric', protocols=protocols, prediction_type=kind.value)
    return METRICS.build(options)


def build_test_dataset(cfg: Config) -> Sequence:
    """Return the test data set of a config.

    Raises:
        ValueError: If the config has none.
    """
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise ValueError(
            'the config has no test_dataloader, so there is no ground truth to score against'
        )
    return DATASETS.build(loader['dataset'])


def list_image_paths(dataset: Sequence) -> list[tuple[str | None, ...]]:
    """Return the paths that match predictions: image and, if it is a file, ground truth."""
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    paths = []
    for index in range(len(dataset)):
        # The list of the data set, if it has one: loading every sample takes far longer.
        if hasattr(dataset, 'get_data_info'):
            info = dataset.get_data_info(index)
            paths.append((info['img_path'], info.get('depth_path')))
        else:
            paths.append((dataset[index]['data_samples'].img_path, None))
    return paths


def _first_names(names: Sequence[str]) -> str:
    listed = ', '.join(names[:3])
    if len(names) > 3:
        listed += ', ...'
    return listed
