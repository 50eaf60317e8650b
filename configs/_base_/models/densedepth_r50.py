"""DenseDepth decoder on ResNet-50, as published: no norms, ReLU, depth = ReLU + min_depth."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(type='TimmBackbone', model_name='resnet50.tv_in1k', pretrained=True),
    decode_head=dict(
        type='DenseDepthHead',
        in_channels=[64, 256, 512, 1024, 2048],
        up_sample_channels=[128, 256, 512, 1024, 2048],
        channels=128,
        act_cfg=dict(type='ReLU'),
        loss_decode=dict(type='SILogLoss'),
    ),
    test_cfg=dict(mode='whole', flip=True),
)
