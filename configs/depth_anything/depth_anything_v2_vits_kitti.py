"""Depth Anything V2, DINOv2-S, metric, KITTI Eigen split: our own fine-tuning at the data set's size.

The start is that of depth_anything_v2_vits_nyu. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits.py',
    '../_base_/datasets/kitti_eigen.py',
    '../_base_/schedules/onecycle_24e_kitti.py',
    '../_base_/default_runtime.py',
]
crop_size = (350, 700)  # whole patches of 14 pixels
model = dict(
    data_preprocessor=dict(float_images=False),
    backbone=dict(pretrained=True),
    decode_head=dict(
        min_depth='${min_depth}', max_depth='${max_depth}', loss_decode=dict(type='SILogLoss')
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, betas=(0.9, 0.999)),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=1.0),
)
# Our own recipe: 4 images on each of 4 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=4)
load_published = dict(method='depth_anything_v2', parts=['backbone.'])
