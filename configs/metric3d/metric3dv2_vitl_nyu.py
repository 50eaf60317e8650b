"""Metric3D v2, ViT-L, fine-tuned on NYU Depth v2 with the published recipe of giant2.

Published result: abs_rel 0.047, rmse 0.183, d1 0.989. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/metric3dv2_vitl.py',
    '../_base_/datasets/nyu_metric3d.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/metric3d_finetune_20k.py',
]
model = dict(
    decode_head=dict(
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        sequence_weight=1.0,
        virtual_normal_weight=1.0,
        range_weight=0.5,
        rectangle_weight=0.5,
        normal_weight=1.5,
        consistency_weight=0.001,
        detach_depth=False,
    )
)
