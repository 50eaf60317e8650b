"""DINOv3-S with a light head, NYU Depth v2, 24 epochs: a recipe of ours. Not trained yet.

The encoder learns at a tenth of the head's rate.
"""

_base_ = [
    '../_base_/models/dinov3_vits_light.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/onecycle_24e_nyu.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, betas=(0.9, 0.999)),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=1.0),
)
# Our own recipe: 4 images on each of 4 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=4)
