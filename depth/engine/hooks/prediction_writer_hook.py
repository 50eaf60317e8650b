"""Writer of the depth maps that a test predicts."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from depth.atomic_write import remove_leftovers
from depth.registry import HOOKS
from depth.visualization.output_files import save_depth_png


@HOOKS.register_module()
class PredictionWriterHook(Hook):
    """Write every depth map of a test as 16-bit PNG with a side-car JSON that states its scale.

    Args:
        out_dir: Folder of the files, which are named after the last six parts of the image's path.

    Raises:
        ValueError: During the test, if two images would have one name.
        OSError: If a file cannot be written; the message names it and the free space.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)
        self.owners: dict[str, str] = {}  # path of the image by the name of its prediction

    def before_test_epoch(self, runner: Runner) -> None:
        """Remove temporary files of a killed test, and forget the names of an earlier one."""
        self.owners.clear()
        remove_leftovers(self.out_dir)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Write one batch.

        Raises:
            ValueError: If two images would have one file.
        """
        for sample in outputs or []:
            path = str(sample.metainfo.get('img_path', f'{batch_idx:06d}'))
            name = unique_name(path)
            # Some file systems ignore case.
            owner = self.owners.setdefault(name.casefold(), path)
            if owner != path:
                raise ValueError(
                    f'{self.out_dir / name}.png would be the prediction of both {owner} and '
                    f'{path}: their last six parts are the same; rename one of the folders, or '
                    'test them apart into two folders'
                )
            save_depth_png(
                self.out_dir / f'{name}.png',
                sample.pred_depth.float().cpu().numpy(),
                prediction_type=sample.metainfo.get('prediction_type', 'metric'),
            )


def unique_name(img_path: str) -> str:
    """Return a file name of the last five folders and the stem: ``a/b/c.png`` becomes ``a_b_c``.

    Virtual KITTI 2 needs all five: ``Scene01/clone/frames/rgb/Camera_0/rgb_00000``.
    """
    names = [name for name in Path(img_path).with_suffix('').parts if name not in ('/', '..', '.')]
    return '_'.join(names[-6:])
