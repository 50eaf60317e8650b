"""The tiny ScaleDepth on desks, rooms and streets together: one scale for each scene.

scaledepth_tiny_three_worlds_fixed is the same model with bins over one fixed range.
"""

_base_ = [
    '../_base_/scaledepth_tiny.py',
    '../../../../configs/_base_/datasets/synthetic_three_worlds.py',
    '../../../../configs/_base_/schedules/synthetic.py',
    '../../../../configs/_base_/default_runtime.py',
]
max_iters = 900
train_cfg = dict(val_interval=300)
# The scale must grow from a few metres to the size of a street in far fewer iterations than
# published.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(scale_predictor=dict(lr_mult=10.0))))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=300))
