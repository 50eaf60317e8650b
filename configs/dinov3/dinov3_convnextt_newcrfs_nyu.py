"""DINOv3's ConvNeXt-T with the NeWCRFs head, NYU Depth v2: a recipe of ours. Not trained yet."""

_base_ = [
    '../_base_/models/newcrfs_swinl_22k_w7.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
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
train_dataloader = dict(batch_size=4)
