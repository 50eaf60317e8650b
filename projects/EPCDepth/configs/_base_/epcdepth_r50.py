"""EPCDepth on ResNet-50."""

_base_ = ['./epcdepth_r18.py']
model = dict(
    backbone=dict(model_name='resnet50.tv_in1k'),
    decode_head=dict(in_channels=[64, 256, 512, 1024, 2048]),
)
