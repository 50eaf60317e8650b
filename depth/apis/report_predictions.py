"""Errors of the predictions of a run, image by image, and maps of single images for a report."""

import dataclasses
import math
from collections.abc import Callable, Iterable
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
from depth.evaluation.prediction_types import PredictionType, get_prediction_type
from depth.evaluation.protocols import Protocol
from depth.evaluation.report import relative_names

from .prediction_files import PredictionFiles
from .scoring import build_test_dataset, cut_like, list_image_paths

NUM_DISTANCE_BINS = 20
FARTHEST = 80.0  # metres; end of the distances of a protocol without a far end
# Quantisation of 16-bit PNG moves abs_rel by less; predictions of another checkpoint by more.
SAME_RESULT = 0.01


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
        """Return the errors of all predictions of images with ground truth that counts.

        Args:
            progress: Wraps the loop over images.

        Raises:
            ValueError: If a prediction cannot be scored, or no image has ground truth that counts.
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
