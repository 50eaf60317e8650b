"""DenseDepth decoder on ResNet-18, small enough for a laptop."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(type='TimmBackbone', model_name='resnet18'),
    decode_head=dict(
        type='DenseDepthHead',
        in_channels=[64, 64, 128, 256, 512],
        up_sample_channels=[32, 32, 64, 128, 256],
        channels=32,
        loss_decode=dict(type='SILogLoss'),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
