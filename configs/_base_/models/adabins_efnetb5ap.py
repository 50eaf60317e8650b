"""AdaBins on EfficientNet-B5 AP. Leaf configs bind the depth range."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='TimmBackbone',
        model_name='tf_efficientnet_b5.ap_in1k',
        pretrained=True,
        last_conv=True,
    ),
    decode_head=dict(
        type='AdaBinsHead',
        in_channels=[24, 40, 64, 176, 2048],
        up_sample_channels=[128, 256, 512, 1024, 2048],
        num_bins=256,
        align_corners=True,
        loss_decode=dict(type='SILogLoss', loss_weight=10.0),
        loss_chamfer=dict(type='BinsChamferLoss', loss_weight=0.1),
    ),
    test_cfg=dict(mode='whole', flip=True),
)
sync_bn = 'torch'
