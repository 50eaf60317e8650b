"""DenseDepth head on ImageNet ResNet-18, your own folder of images and depth (docs/get_started.md)."""

_base_ = [
    '../_base_/models/densedepth_r18.py',
    '../_base_/datasets/folder.py',
    '../_base_/schedules/onecycle_24e_nyu.py',
    '../_base_/default_runtime.py',
]
max_iters = 10000
model = dict(
    backbone=dict(pretrained=True),
    decode_head=dict(min_depth={{_base_.min_depth}}, max_depth={{_base_.max_depth}}),
)
train_cfg = dict(max_iters=max_iters, val_interval=1000)
param_scheduler = dict(total_steps=max_iters)
train_dataloader = dict(batch_size=8)
