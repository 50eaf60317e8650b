"""Metric3D v2 on DINOv2 ViT-S with registers, four refinements. Leaf configs bind the depth range."""

model = dict(
    type='CanonicalDepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='ViTBackbone',
        model_name='vit_small_patch14_reg4_dinov2.lvd142m',
        pretrained=True,
        # The published network takes the last block four times.
        out_indices=(11,),
        prefix_tokens=True,
        # The published encoder keeps DINOv2's offset, which the models with registers dropped.
        pos_embed='offset',
    ),
    decode_head=dict(
        type='Metric3DHead',
        in_channels=(384,),
        feature_channels=(96, 192),
        hidden_channels=48,
        num_iters=4,
        canonical_focal=1000.0,
        canonical_range=(0.1, 200.0),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
# Published files may be given as they are: load_from, --checkpoint.
load_published = dict(method='metric3d')
