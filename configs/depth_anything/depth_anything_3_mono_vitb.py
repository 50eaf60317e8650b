"""Depth Anything 3, DINOv2-B (a size of ours), depth up to a factor, tested on NYU Depth v2."""

_base_ = ['./depth_anything_3_mono_vits.py']
model = dict(
    backbone=dict(model_name='vit_base_patch14_dinov2.lvd142m'),
    decode_head=dict(
        in_channels=(768, 768, 768, 768),
        post_process_channels=(96, 192, 384, 768),
        channels=128,
    ),
)
