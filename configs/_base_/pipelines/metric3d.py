"""Pipelines of Metric3D: random resize and crop in training, a fixed canvas in tests."""

canvas_size = (616, 1064)  # height, width
metric3d_train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='RandomScale', prob=0.5, ratio_range=(0.85, 1.15)),
    dict(type='RandomCrop', crop_size='${canvas_size}'),
    dict(type='RandomFlip', prob=0.4),
    dict(type='ColorAug', prob=0.1),
    dict(type='PackDepthInputs', with_normals=True),
]
metric3d_test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='FitToCanvas', size='${canvas_size}'),
    dict(type='PackDepthInputs'),
]
