"""Disparity files in the published format: one npy (N, H, W) for a test set, in its order.

A value is inverse depth in units in which the baseline of 0.54 m is 0.1: depth in metres is 5.4 /
value.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from depth.evaluation import DepthMetric
from depth.models.layers import resize_map
from depth.registry import HOOKS
from depth.visualization.output_files import write_array, write_image

FILE_NAME = 'disparities.npy'


@HOOKS.register_module()
class DisparityWriterHook(Hook):
    """Write the disparities of a test as one npy and as pictures, in a single process.

    Args:
        out_dir: Folder that receives ``disparities.npy`` and ``000000.png``, ``000001.png``, ...
        unit: Metres of the published unit.
        pictures: Whether to draw.
    """

    def __init__(self, out_dir: str, unit: float = 5.4, pictures: bool = True) -> None:
        self.out_dir = Path(out_dir)
        self.unit = unit
        self.pictures = pictures
        self.collected: list[np.ndarray] = []

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Collect one batch."""
        for sample in outputs or []:
            disparity = (sample.pred_inverse_depth.float() * self.unit).cpu().numpy()
            if self.pictures:
                write_image(
                    self.out_dir / f'{len(self.collected):06d}.png',
                    draw_disparity(disparity),
                )
            self.collected.append(disparity)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write the file."""
        write_array(self.out_dir / FILE_NAME, np.stack(self.collected))
        self.collected.clear()


def draw_disparity(disparity: np.ndarray) -> np.ndarray:
    """Colour a disparity map (H, W), BGR uint8: magma from the minimum to the 95th percentile."""
    low, high = disparity.min(), np.percentile(disparity, 95)
    share = np.clip((disparity - low) / max(high - low, 1e-12), 0, 1)
    return cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_MAGMA)


def disparity_to_metres(
    disparity: Tensor,
    size: Sequence[int],
    unit: float,
    resize_as: str = 'inverse_depth',
) -> Tensor:
    """Return depth (H, W) in metres of a disparity map (h, w).

    Args:
        disparity: In 1 / ``unit`` metres; 0 is infinitely far and becomes a finite depth beyond all
            ranges.
        size: (H, W) of the ground truth.
        unit: Metres of the published unit.
        resize_as: ``'inverse_depth'`` as the published KITTI evaluation does, ``'depth'`` as its
            NYU one.
    """
    # An infinite depth would turn its neighbours into NaN in the resize.
    values = disparity[None, None].float().clamp(min=1e-9)
    if resize_as == 'depth':
        return unit * resize_map(1 / values, size)[0, 0]
    return unit / resize_map(values, size)[0, 0]


def score_disparities(
    disparities: np.ndarray,
    dataset: Sequence,
    metric: DepthMetric,
    unit: float = 5.4,
    resize_as: str = 'inverse_depth',
) -> dict[str, float]:
    """Return the metrics of precomputed disparities.

    Args:
        disparities: (N, h, w), in the data set's order.
        dataset: Packed samples with ``gt_depth``.
        metric: The protocol.
        unit: See :func:`disparity_to_metres`.
        resize_as: Likewise.

    Raises:
        ValueError: If the file does not have one positive map a sample.
    """
    if disparities.ndim != 3 or len(disparities) != len(dataset):
        raise ValueError(
            f'the disparities have shape {disparities.shape}, expected (N, H, W) with N = '
            f'{len(dataset)}, one map for each image of the test set',
        )
    if not (np.isfinite(disparities) & (disparities > 0)).all():
        raise ValueError(
            'the disparities are not all finite and positive; are they sigmoids of another scale?',
        )
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        size = sample.gt_depth.shape
        sample.pred_depth = disparity_to_metres(
            torch.from_numpy(disparities[index]),
            size,
            unit,
            resize_as,
        )
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(dataset))
