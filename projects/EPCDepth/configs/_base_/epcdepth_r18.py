"""EPCDepth on ResNet-18. One mean and one deviation for all channels, as published."""

custom_imports = dict(imports=['projects.EPCDepth.modules'])
model = dict(
    type='EPCDepth',
    data_preprocessor=dict(
        type='DepthDataPreprocessor', mean=(114.75, 114.75, 114.75), std=(57.375, 57.375, 57.375)
    ),
    backbone=dict(type='TimmBackbone', model_name='resnet18.tv_in1k', pretrained=True),
    decode_head=dict(
        type='FullScaleHead',
        in_channels=[64, 64, 128, 256, 512],
        output_range=(
            0.54,
            540.0,
        ),  # metres; published 0.1 to 100 where the baseline of 0.54 m is 0.1
    ),
    view_loss=dict(
        type='EPCDepthLoss',
        hint_weight=1.0,
        hint_unit=5.4,
        distill_weight=1.0,
        smoothness_weight=0.0,
    ),
    train_cfg=dict(graft=True),
    test_cfg=dict(flip=True, output_scale=0, resize_as='inverse_depth'),
)
