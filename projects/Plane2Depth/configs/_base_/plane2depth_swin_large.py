"""Plane2Depth on Swin-L, window 12, pre-trained on ImageNet-22k at 384x384.

Leaf configs bind the depth range.
"""

custom_imports = dict(imports=['projects.Plane2Depth.plane2depth'])
model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='TimmBackbone',
        model_name='swin_large_patch4_window12_384.ms_in22k',
        pretrained=True,
        out_norm='LN',
        model_args=dict(drop_path_rate=0.3),
    ),
    decode_head=dict(
        type='Plane2DepthHead',
        in_channels=[192, 384, 768, 1536],
        channels=256,
        num_queries=64,
        loss_decode=dict(type='SILogLoss', loss_weight=10.0),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
