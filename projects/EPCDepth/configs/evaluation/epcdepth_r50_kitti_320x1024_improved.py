"""Test epcdepth_r50_kitti_320x1024 on 652 Eigen images.

They are those with the ground truth of the depth benchmark, as in the config of ResNet-18.
"""

_base_ = ['./epcdepth_r18_kitti_320x1024_improved.py']
# As in ../_base_/epcdepth_r50.py, of which a config with another base cannot inherit.
model = dict(
    backbone=dict(model_name='resnet50.tv_in1k'),
    decode_head=dict(in_channels=[64, 256, 512, 1024, 2048]),
)
