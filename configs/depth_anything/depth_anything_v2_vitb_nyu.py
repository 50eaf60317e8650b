"""Depth Anything V2, DINOv2-B, metric, NYU Depth v2, our own fine-tuning. Ours: not trained yet."""

_base_ = ['./depth_anything_v2_vits_nyu.py']
model = dict(
    backbone=dict(model_name='vit_base_patch14_dinov2.lvd142m'),
    decode_head=dict(
        in_channels=(768, 768, 768, 768),
        post_process_channels=(96, 192, 384, 768),
        channels=128,
    ),
)
