"""DepthFormer on Swin-T: convolutional stem, HAHI neck, DenseDepth head.

Leaf configs bind the depth range.
"""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='DepthFormerBackbone',
        stem_channels=64,
        backbone=dict(
            type='TimmBackbone',
            model_name='swin_tiny_patch4_window7_224.ms_in1k',
            pretrained=True,
            out_norm='LN',
            model_args=dict(drop_path_rate=0.3),
        ),
    ),
    neck=dict(
        type='HAHINeck',
        in_channels=[64, 96, 192, 384, 768],
        embedding_dim=256,
        num_heads=8,
        num_points=8,
    ),
    decode_head=dict(
        type='DenseDepthHead',
        in_channels=[64, 96, 192, 384, 768],
        channels=64,
        align_corners=True,
        loss_decode=dict(type='SILogLoss', loss_weight=1.0),
    ),
    test_cfg=dict(mode='whole', flip=True),
)
