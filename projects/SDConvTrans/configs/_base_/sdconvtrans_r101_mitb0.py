"""SD-ConvTrans on ResNet-101 and MiT-B0. Leaf configs bind the depth range."""

custom_imports = dict(imports=['projects.SDConvTrans.sdconvtrans'])
model = dict(
    type='SDConvTransEstimator',
    # The published network sees [0, 1] without mean and deviation.
    data_preprocessor=dict(
        type='DepthDataPreprocessor', mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)
    ),
    backbone=dict(
        type='SDConvTransBackbone',
        conv=dict(
            type='TimmBackbone', model_name='resnet101', out_indices=(1, 2, 3, 4), pretrained=True
        ),
        # timm has no MiT; this is MiT-B0, and pvt_v2_b1 to b5 are MiT-B1 to B5. Their weights in
        # timm do not fit.
        transformer=dict(
            type='TimmBackbone',
            model_name='pvt_v2_b0',
            model_args=dict(mlp_ratios=(4, 4, 4, 4), drop_path_rate=0.1),
        ),
    ),
    decode_head=dict(type='SDConvTransHead'),
    test_cfg=dict(mode='whole', flip=False),
)
