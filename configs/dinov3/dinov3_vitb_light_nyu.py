"""DINOv3-B with a light head, NYU Depth v2, 24 epochs: a recipe of ours. Not trained yet."""

_base_ = ['./dinov3_vits_light_nyu.py']
model = dict(
    backbone=dict(model_name='vit_base_patch16_dinov3.lvd1689m'),
    decode_head=dict(in_channels=(768, 768, 768, 768)),
)
