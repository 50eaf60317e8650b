"""Panels of a few samples at each validation and test."""

from collections.abc import Sequence

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

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
        """Draw validation samples, under names that stay, so that TensorBoard shows their progress."""
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
            gt_depth = sample.gt_depth.cpu().numpy() if 'gt_depth' in sample else None
            img = image.permute(1, 2, 0).cpu().numpy()
            far = sample.metainfo.get('max_depth')
            panel = draw_panel(
                img, sample.pred_depth.float().cpu().numpy(), gt_depth, max_depth=far
            )
            runner.visualizer.add_image(f'{mode}_{self.drawn}', panel[..., ::-1], step=step)
            self.drawn += 1
