"""Protocols of depth completion: KITTI's benchmark, and NYU Depth v2 with 500 points.

References:
    Sparsity Invariant CNNs (KITTI), https://arxiv.org/abs/1708.06500
    Sparse-to-Dense (NYU, section IV), https://arxiv.org/abs/1709.07492
"""

from .protocol import Protocol
from .test_sets import NYU_TEST

COMPLETION = (
    # The development kit: every pixel with ground truth, neither cap nor crop, mean over images.
    # DepthMetric(pixel_metrics=['rmse_mm', 'mae_mm']) adds the server's units.
    Protocol(
        'kitti_completion',
        'KITTI depth completion, validation selection as published (352x1216), every pixel with '
        'ground truth',
        0.0,
        float('inf'),
        datasets=('kitti_completion',),
        data_list='folder val_selection_cropped',
        num_images=1000,
        tta='none',
    ),
    Protocol(
        'nyu_completion_500',
        'NYU Depth v2, official test images at half size, central 228x304, 500 random points, '
        'every pixel',
        0.0,
        float('inf'),
        **NYU_TEST,
        tta='none',
    ),
)
