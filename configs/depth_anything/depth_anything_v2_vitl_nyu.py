"""Depth Anything V2, DINOv2-L, metric, NYU Depth v2, our own fine-tuning. Ours: not trained yet."""

_base_ = ['./depth_anything_v2_vits_nyu.py']
model = dict(
    backbone=dict(model_name='vit_large_patch14_dinov2.lvd142m', out_indices=(4, 11, 17, 23)),
    decode_head=dict(
        in_channels=(1024, 1024, 1024, 1024),
        post_process_channels=(256, 512, 1024, 1024),
        channels=256,
    ),
)
