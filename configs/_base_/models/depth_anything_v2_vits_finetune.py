"""Depth Anything V2 with DINOv2-S, metric, for trainings of ours at the data's own size.

The encoder starts from timm's DINOv2, or from that of a published file (load_from).
"""

_base_ = './depth_anything_v2_vits.py'
model = dict(
    data_preprocessor=dict(float_images=False),
    backbone=dict(pretrained=True),
    decode_head=dict(
        min_depth='${min_depth}', max_depth='${max_depth}', loss_decode=dict(type='SILogLoss')
    ),
)
load_published = dict(method='depth_anything_v2', parts=['backbone.'])
