"""KITTI raw stereo, split of the self-supervised methods, training pipeline at 192x640.

Put the published split files into ``data/kitti_raw/splits``: ``eigen_full_train.txt`` (45,200
lines) and ``eigen_full_val.txt`` (1,776) for training, ``eigen_test.txt`` (697) for testing.
"""

min_depth, max_depth = 1e-3, 80.0
dataset_type = 'KITTIRawDataset'
data_root = 'data/kitti_raw'
size = (640, 192)  # width, height
train_pipeline = [
    dict(type='LoadPair'),
    dict(type='LoadDepthHint', unit=5.4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale='${size}', resize_depth=False, interpolation='lanczos'),
    dict(type='NominalIntrinsics'),
    dict(type='ColorJitterPair', prob=0.5),
    dict(type='PackStereoInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale='${size}', resize_depth=False, interpolation='lanczos'),
    dict(type='LoadVelodyneDepth', depth_axis='forward', size=(375, 1242)),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='splits/eigen_full_train.txt',
        stereo=True,
        baseline=0.54,
        hint_root='depth_hints',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        pipeline='${train_pipeline}',
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='splits/eigen_full_val.txt',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='splits/eigen_test.txt',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
val_evaluator = dict(type='DepthMetric', protocol='epcdepth_stereo')
test_evaluator = val_evaluator
