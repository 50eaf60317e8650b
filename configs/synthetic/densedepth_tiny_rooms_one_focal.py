"""DenseDepth on rooms of one focal length, tested at three: the usual failure, without its cure.

docs/camera_scale.md compares it with the configs beside it.
"""

_base_ = [
    '../_base_/datasets/synthetic_rooms_focal_lengths.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(type='TimmBackbone', model_name='resnet10t', out_indices=(1, 2, 3, 4)),
    decode_head=dict(
        type='DenseDepthHead',
        in_channels=[64, 128, 256, 512],
        up_sample_channels=[16, 32, 64, 128],
        channels=16,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(type='SILogLoss'),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=600))
train_cfg = dict(val_interval=600)
