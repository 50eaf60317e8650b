"""Metric3D v2 on DINOv2 giant2 with registers, eight refinements. Leaf configs bind the depth range."""

_base_ = ['./metric3dv2_vits.py']
model = dict(
    backbone=dict(
        model_name='vit_giant_patch14_reg4_dinov2.lvd142m',
        # Unlike S and L: four blocks, without the encoder's last norm.
        out_indices=(9, 19, 29, 39),
        final_norm=False,
    ),
    decode_head=dict(
        in_channels=(1536, 1536, 1536, 1536),
        feature_channels=(384, 768),
        hidden_channels=192,
        num_iters=8,
    ),
)
