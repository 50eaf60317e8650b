"""Metric3D v2, ViT-S: the published recipe, on a folder of one's own.

The images need cameras (intrinsics.json). The published weights saw 16 million images.
"""

_base_ = [
    '../_base_/models/metric3dv2_vits.py',
    '../_base_/datasets/folder_metric3d.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/metric3d_800k.py',
]
max_depth = 300.0
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
train_dataloader = dict(batch_size=6)
