"""Depth Anything V2 with DINOv2-S, metric. Leaf configs bind the depth range."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor', float_images=True),
    backbone=dict(
        type='ViTBackbone',
        model_name='vit_small_patch14_dinov2.lvd142m',
        out_indices=(2, 5, 8, 11),
        pos_embed='offset',
    ),
    decode_head=dict(
        type='DepthAnythingMetricHead',
        in_channels=(384, 384, 384, 384),
        post_process_channels=(48, 96, 192, 384),
        channels=64,
        patch_size=14,
    ),
    test_cfg=dict(mode='whole', flip=False, align_corners=True),
)
