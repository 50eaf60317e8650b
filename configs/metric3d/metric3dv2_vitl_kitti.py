"""Metric3D v2, ViT-L, fine-tuned on the KITTI Eigen split with the published recipe.

Published result: abs_rel 0.044, rmse 1.985, d1 0.985. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/metric3dv2_vitl.py',
    '../_base_/datasets/kitti_eigen_metric3d.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/metric3d_finetune_20k.py',
]
model = dict(
    decode_head=dict(
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        sequence_weight=1.0,
        virtual_normal_weight=0.1,
        range_weight=0.0,
        rectangle_weight=0.0,
        normal_weight=0.0,
        consistency_weight=0.001,
        detach_depth=False,
    )
)
