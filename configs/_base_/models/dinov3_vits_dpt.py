"""DINOv3-S with the DPT decoder of Depth Anything, metric. Leaf configs bind the depth range."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='ViTBackbone',
        model_name='vit_small_patch16_dinov3.lvd1689m',
        pretrained=True,
        out_indices=(2, 5, 8, 11),
    ),
    decode_head=dict(
        type='DepthAnythingMetricHead',
        in_channels=(384, 384, 384, 384),
        post_process_channels=(48, 96, 192, 384),
        channels=64,
        patch_size=16,
        align_corners=False,
        loss_decode=dict(type='SILogLoss'),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
