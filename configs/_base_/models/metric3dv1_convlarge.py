"""Metric3D v1 on ConvNeXt-L. Leaf configs bind the depth range."""

_base_ = ['./metric3dv1_convtiny.py']
model = dict(
    backbone=dict(model_name='convnext_large.fb_in22k'),
    decode_head=dict(in_channels=(192, 384, 768, 1536), up_channels=(128, 256, 512)),
)
