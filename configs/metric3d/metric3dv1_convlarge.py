"""Metric3D v1, ConvNeXt-L: a recipe of ours, on a folder of one's own.

The images need cameras (intrinsics.json). The published training code is that of v2. Published
result, zero-shot: abs_rel 0.083, rmse 0.310, d1 0.944 on NYU.
"""

_base_ = [
    '../_base_/models/metric3dv1_convlarge.py',
    '../_base_/datasets/folder_metric3d.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/metric3d_800k.py',
]
canvas_size = (544, 1216)  # height, width
max_depth = 300.0
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
