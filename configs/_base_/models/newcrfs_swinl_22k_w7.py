"""NeWCRFs on Swin-L, pre-trained on ImageNet-22k. Leaf configs bind the depth range."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='TimmBackbone',
        model_name='swin_large_patch4_window7_224.ms_in22k',
        pretrained=True,
        out_norm='LN',
        model_args=dict(drop_path_rate=0.3),
    ),
    neck=dict(
        type='PyramidPoolingNeck',
        in_channels=(192, 384, 768, 1536),
        channels=512,
        pool_scales=(1, 2, 3, 6),
        num_groups=256,
    ),
    decode_head=dict(
        type='NeWCRFsHead',
        in_channels=(192, 384, 768, 1536, 512),
        crf_dims=(128, 256, 512, 1024),
        num_heads=(4, 8, 16, 32),
        window_size=7,
        depth_per_level=2,
        align_corners=False,
        loss_decode=dict(type='SILogLoss', loss_weight=10.0),
    ),
    test_cfg=dict(mode='whole', flip=True),
)
