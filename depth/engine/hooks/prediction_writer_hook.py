"""Predictions of a test as files."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from depth.registry import HOOKS
from depth.visualization.depth_io import save_depth_png


@HOOKS.register_module()
class PredictionWriterHook(Hook):
    """Write every test prediction as 16-bit PNG with a side-car JSON that states its scale.

    Args:
        out_dir: Folder; names repeat the end of the image's path.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs=None) -> None:
        """Write one batch."""
        for sample in outputs or []:
            name = unique_name(sample.metainfo.get('img_path', f'{batch_idx:06d}'))
            save_depth_png(self.out_dir / f'{name}.png', sample.pred_depth.float().cpu().numpy())


def unique_name(img_path: str) -> str:
    """Return a file name that keeps the last five folders of a path apart: ``a/b/c.png`` -> ``a_b_c``.

    Virtual KITTI 2 needs as many: ``Scene01/clone/frames/rgb/Camera_0/rgb_00000``.
    """
    parts = [part for part in Path(img_path).with_suffix('').parts if part not in ('/', '..', '.')]
    return '_'.join(parts[-6:])
