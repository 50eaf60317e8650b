"""BinsFormer on Swin-T: multi-scale encoder, pixel pyramid, bin queries.

Leaf configs bind the depth range.
"""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='TimmBackbone',
        model_name='swin_tiny_patch4_window7_224.ms_in1k',
        pretrained=True,
        out_norm='LN',
        model_args=dict(drop_path_rate=0.3),
    ),
    decode_head=dict(
        type='BinsFormerHead',
        in_channels=[96, 192, 384, 768],
        channels=256,
        num_bins=64,
        num_classes=25,
        level_order='//',
        align_corners=True,
        loss_decode=dict(type='SILogLoss', loss_weight=10.0),
        loss_class=dict(type='SceneClassLoss', loss_weight=0.01),
    ),
    test_cfg=dict(mode='whole', flip=True),
)
