"""BTS on ImageNet ResNet-50. Leaf configs bind the depth range."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(type='TimmBackbone', model_name='resnet50.tv_in1k', pretrained=True),
    decode_head=dict(
        type='BTSHead',
        in_channels=[64, 256, 512, 1024, 2048],
        num_features=512,
        align_corners=False,
        loss_decode=dict(type='SILogLoss', loss_weight=1.0),
    ),
    test_cfg=dict(mode='whole', flip=True),
)
