"""Panels of a few samples at each validation and test."""

from collections.abc import Sequence

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from depth.evaluation.alignment import fit_to_metres
from depth.evaluation.prediction_types import PredictionType, get_prediction_type
from depth.registry import HOOKS
from depth.structures import DepthDataSample
from depth.visualization import draw_panel


@HOOKS.register_module()
class DepthVisualizationHook(Hook):
    """Draw image, ground truth, prediction and error of the first samples.

    The panels go to the visualizer's backends: by default the work dir and TensorBoard.

    Args:
        num_images: Number of samples; 0 draws none.
    """

    def __init__(self, num_images: int = 4) -> None:
        self.num_images = num_images
        self.drawn = 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Reset the number of drawn samples."""
        self.drawn = 0

    before_test_epoch = before_val_epoch

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[DepthDataSample] | None = None,
    ) -> None:
        """Draw validation samples under constant names: TensorBoard shows their progress."""
        self._draw(runner, data_batch, outputs, 'val', runner.iter)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[DepthDataSample] | None = None,
    ) -> None:
        """Draw test samples."""
        self._draw(runner, data_batch, outputs, 'test', 0)

    @master_only
    def _draw(
        self,
        runner: Runner,
        data_batch: dict,
        outputs: Sequence[DepthDataSample],
        mode: str,
        step: int,
    ) -> None:
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            if self.drawn >= self.num_images:
                return
            panel = _draw_sample(image, sample)
            runner.visualizer.add_image(f'{mode}/{self.drawn}', panel[..., ::-1], step=step)
            self.drawn += 1


def _draw_sample(image: Tensor, sample: DepthDataSample) -> np.ndarray:
    """Return the panel of an image (3, H, W); relative predictions are fitted to the truth."""
    kind = get_prediction_type(sample.metainfo.get('prediction_type', 'metric'))
    pred = sample.pred_depth.float().cpu()
    img = image.permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy()
    far = sample.metainfo.get('max_depth')
    if 'gt_depth' not in sample:
        is_metric = kind is PredictionType.METRIC
        return draw_panel(
            img,
            pred.numpy(),
            min_depth=0.0 if is_metric and far is not None else None,
            max_depth=far if is_metric else None,
            inverse=kind.is_inverse,
            unit=' m' if is_metric else '',
        )
    gt_depth = sample.gt_depth.cpu()
    if kind is not PredictionType.METRIC:
        pred = fit_to_metres(pred[None], gt_depth[None], kind)[0]
    # From 0 to the data set's range, so that panels compare between images and validations.
    near = None if far is None else 0.0
    return draw_panel(img, pred.numpy(), gt_depth.numpy(), near, far)
