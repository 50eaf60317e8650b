"""DINOv3-S with a light head, metric. Leaf configs bind the depth range."""

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
        type='LightDepthHead',
        in_channels=(384, 384, 384, 384),
        channels=128,
        patch_size=16,
        loss_decode=dict(type='SILogLoss'),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
