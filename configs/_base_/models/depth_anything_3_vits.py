"""Depth Anything 3 for single images with DINOv2-S (a size of ours), depth up to a factor."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='ViTBackbone',
        model_name='vit_small_patch14_dinov2.lvd142m',
        out_indices=(2, 5, 8, 11),
        final_norm_eps=1e-5,
        pos_embed='offset',
    ),
    decode_head=dict(
        type='DepthAnything3Head',
        in_channels=(384, 384, 384, 384),
        post_process_channels=(48, 96, 192, 384),
        channels=64,
        patch_size=14,
    ),
    test_cfg=dict(mode='whole', flip=False),
)
