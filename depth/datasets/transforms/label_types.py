"""Conversion of metric labels into relative ones."""

import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

LABEL_TYPES = ('affine_invariant', 'affine_invariant_disparity')


@TRANSFORMS.register_module()
class MakeLabelsRelative(BaseTransform):
    """Forget the scale and the shift of metric labels, and set ``label_type``.

    The valid labels of each image (its depth or its inverse depth) are mapped linearly to 0.01 to
    1, as relative labels are often stored, so nothing of their unit is left. For data sets whose
    metres are not to be trusted, such as stereo of unknown baseline, and for experiments with mixed
    labels.

    Args:
        label_type: ``'affine_invariant_disparity'`` (inverse depth) or ``'affine_invariant'``.

    Raises:
        ValueError: If the type is another one, or the labels are relative already.
    """

    needs_ground_truth = True  # inference leaves the transform out

    def __init__(self, label_type: str = 'affine_invariant_disparity') -> None:
        if label_type not in LABEL_TYPES:
            raise ValueError(
                f'MakeLabelsRelative: label_type is one of {", ".join(LABEL_TYPES)}, got '
                f'{label_type!r}'
            )
        self.label_type = label_type

    def transform(self, results: dict) -> dict:
        """Replace ``gt_depth`` (H, W) and set ``label_type``.

        Raises:
            ValueError: If the labels are relative already.
        """
        if results.get('label_type', 'metric') != 'metric':
            raise ValueError(
                f'MakeLabelsRelative: labels of {results.get("img_path", "the sample")} are '
                f'{results["label_type"]} already'
            )
        depth = results['gt_depth']
        valid = depth > 0
        values = depth
        if self.label_type == 'affine_invariant_disparity':
            values = np.divide(1, depth, out=np.zeros_like(depth), where=valid)
        results['gt_depth'] = scale_to_unit(values, valid)
        results['label_type'] = self.label_type
        return results


def scale_to_unit(values: np.ndarray, valid: np.ndarray, least: float = 0.01) -> np.ndarray:
    """Map the valid values (H, W) linearly to ``least`` to 1, float32; 0 where not valid."""
    scaled = np.zeros(values.shape, np.float32)
    if not valid.any():
        return scaled
    low, high = float(values[valid].min()), float(values[valid].max())
    extent = max(high - low, np.finfo(np.float32).tiny)
    scaled[valid] = least + (1 - least) * (values[valid] - low) / extent
    return scaled
