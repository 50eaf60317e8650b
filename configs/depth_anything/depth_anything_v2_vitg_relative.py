"""Depth Anything V2, DINOv2-g: inverse depth up to a factor and an offset, tested on NYU."""

_base_ = ['./depth_anything_v2_vits_relative.py']
model = dict(
    backbone=dict(model_name='vit_giant_patch14_dinov2.lvd142m', out_indices=(9, 19, 29, 39)),
    decode_head=dict(
        in_channels=(1536, 1536, 1536, 1536),
        post_process_channels=(1536, 1536, 1536, 1536),
        channels=384,
    ),
)
