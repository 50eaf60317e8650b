"""Metric3D v1 on ConvNeXt-T. Leaf configs bind the depth range."""

model = dict(
    type='CanonicalDepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(type='TimmBackbone', model_name='convnext_tiny.fb_in22k', pretrained=True),
    decode_head=dict(
        type='Metric3DV1Head',
        in_channels=(96, 192, 384, 768),
        canonical_focal=1000.0,
        canonical_range=(0.3, 150.0),
        loss_decode=dict(type='SILogLoss'),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
# Published files may be given as they are: load_from, --checkpoint.
load_published = dict(method='metric3d')
