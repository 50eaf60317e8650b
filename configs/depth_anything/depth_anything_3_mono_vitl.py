"""Depth Anything 3, DINOv2-L (DA3MONO-LARGE), depth up to a factor, tested on NYU Depth v2."""

_base_ = ['./depth_anything_3_mono_vits.py']
model = dict(
    backbone=dict(model_name='vit_large_patch14_dinov2.lvd142m', out_indices=(4, 11, 17, 23)),
    decode_head=dict(
        in_channels=(1024, 1024, 1024, 1024),
        post_process_channels=(256, 512, 1024, 1024),
        channels=256,
    ),
)
