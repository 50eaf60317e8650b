"""The mmdepth variant of BinsFormer on Swin-T. Leaf configs bind the depth range."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(
        type='DepthDataPreprocessor', mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
    ),
    backbone=dict(
        type='TimmBackbone',
        model_name='swin_tiny_patch4_window7_224.ms_in1k',
        pretrained=True,
        out_norm='LN',
        model_args=dict(drop_path_rate=0.3),
    ),
    decode_head=dict(
        type='BinsMaskFormerHead',
        in_channels=[96, 192, 384, 768],
        channels=256,
        num_bins=64,
        num_extra_queries=3,
        loss_decode=dict(type='SILogLoss', loss_weight=10.0),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
