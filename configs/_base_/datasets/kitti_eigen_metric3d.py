"""KITTI, Eigen split, with the pipelines of Metric3D: random resize and crop, tests on a fixed canvas."""

_base_ = './kitti_eigen.py'
canvas_size = (616, 1064)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomScale', prob=0.5, ratio_range=(0.85, 1.15)),
    dict(type='RandomCrop', crop_size='${canvas_size}'),
    dict(type='RandomFlip', prob=0.4),
    dict(type='ColorAug', prob=0.1),
    dict(type='PackDepthInputs', with_normals=True),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='FitToCanvas', size='${canvas_size}'),
    dict(type='PackDepthInputs'),
]
