"""A tiny ScaleDepth on synthetic rooms and streets together.

Minutes on two CPU cores, no data needed. One scale for each scene lets one model cover 10 m and 80
m. scaledepth_tiny_rooms_streets_fixed is the same model with bins over one fixed range.
"""

_base_ = [
    '../_base_/scaledepth_tiny.py',
    '../../../../configs/_base_/datasets/synthetic_mixed.py',
    '../../../../configs/_base_/schedules/synthetic.py',
    '../../../../configs/_base_/default_runtime.py',
]
max_iters = 900
train_cfg = dict(val_interval=300)
# The scale must grow from a few metres to the size of a street in far fewer iterations than
# published.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(scale_predictor=dict(lr_mult=10.0))))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=300))
val_dataloader = dict(num_workers=0)
