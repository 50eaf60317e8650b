"""Metric3D v2 on DINOv2 ViT-L with registers, eight refinements. Leaf configs bind the depth range."""

_base_ = ['./metric3dv2_vits.py']
model = dict(
    backbone=dict(model_name='vit_large_patch14_reg4_dinov2.lvd142m', out_indices=(23,)),
    decode_head=dict(
        in_channels=(1024,), feature_channels=(256, 512), hidden_channels=128, num_iters=8
    ),
)
