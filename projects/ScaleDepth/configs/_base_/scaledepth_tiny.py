"""A tiny ScaleDepth on a ResNet-10."""

_base_ = ['./scaledepth_head.py']
model = dict(
    backbone=dict(type='TimmBackbone', model_name='resnet10t', out_indices=(1, 2, 3, 4)),
    decode_head=dict(
        in_channels=[64, 128, 256, 512],
        channels=64,
        num_bins=32,
        num_classes=0,
        decoder=dict(num_layers=3, num_heads=4, feedforward_channels=128),
        pixel_decoder=dict(num_layers=1, num_heads=4, feedforward_channels=128),
        aux_layers=(0, 1),
    ),
)
