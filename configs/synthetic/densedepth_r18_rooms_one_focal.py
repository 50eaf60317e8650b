"""DenseDepth on rooms of one focal length, tested at three: the usual failure, without its cure.

docs/camera_scale.md compares it with the configs beside it.
"""

_base_ = [
    '../_base_/models/densedepth_r18.py',
    '../_base_/datasets/synthetic_rooms_focal_lengths.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=600))
train_cfg = dict(val_interval=600)
