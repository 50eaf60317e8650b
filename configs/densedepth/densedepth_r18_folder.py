"""DenseDepth head on ImageNet ResNet-18, any folder of images and depth (docs/get_started.md)."""

_base_ = [
    '../_base_/models/densedepth_r18.py',
    '../_base_/datasets/folder.py',
    '../_base_/schedules/onecycle_24e_nyu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(pretrained=True),
    decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'),
)
max_iters = 10000
train_cfg = dict(val_interval=1000)
# Our own recipe: 8 images in one process.
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(batch_size=8)
