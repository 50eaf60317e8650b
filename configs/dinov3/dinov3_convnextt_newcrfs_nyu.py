"""DINOv3's ConvNeXt-T with the NeWCRFs head, NYU Depth v2: a recipe of ours. Not trained yet."""

_base_ = [
    '../_base_/models/newcrfs_swinl_22k_w7.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/onecycle_24e_nyu.py',
    '../_base_/default_runtime.py',
]
channels = [96, 192, 384, 768]
model = dict(
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='convnext_tiny.dinov3_lvd1689m',
        pretrained=True,
        out_norm='LN',
    ),
    neck=dict(in_channels=channels),
    decode_head=dict(
        in_channels=[*channels, 512], min_depth='${min_depth}', max_depth='${max_depth}'
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
