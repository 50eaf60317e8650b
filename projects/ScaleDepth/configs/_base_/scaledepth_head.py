"""Base of all ScaleDepth configs: the head, its losses and the estimator."""

custom_imports = dict(imports=['projects.ScaleDepth.scaledepth'])
model = dict(
    type='ScaleDepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    decode_head=dict(
        type='ScaleDepthHead',
        in_channels=[192, 384, 768, 1536],
        channels=256,
        num_bins=64,
        num_scale_queries=3,
        loss_decode=dict(type='SILogLoss', loss_weight=10.0),
        loss_class=dict(type='DoubleSoftmaxClassLoss', loss_weight=0.01),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
