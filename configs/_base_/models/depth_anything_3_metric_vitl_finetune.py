"""Depth Anything 3 with DINOv2-L, metric, for trainings of ours at the data's own size.

The encoder starts from timm's DINOv2; load_from takes all of a published file.
"""

_base_ = './depth_anything_3_vits.py'
model = dict(
    backbone=dict(
        model_name='vit_large_patch14_dinov2.lvd142m',
        out_indices=(4, 11, 17, 23),
        pretrained=True,
    ),
    decode_head=dict(
        type='DepthAnything3MetricHead',
        in_channels=(1024, 1024, 1024, 1024),
        post_process_channels=(256, 512, 1024, 1024),
        channels=256,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(type='SILogLoss'),
    ),
)
load_published = dict(method='depth_anything_3')
