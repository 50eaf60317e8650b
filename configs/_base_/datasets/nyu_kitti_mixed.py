"""NYU Depth v2 and the KITTI Eigen split together, 352x512 crops, every image once in a pass.

Each image keeps the range of its set (10 or 80 m) and its ``dataset`` name and scene category;
``min_depth`` and ``max_depth`` span both. ``weights=[1, 1]`` in the training set gives both the
same share. Validation scores each set under its own protocol; the plain metric names are the means
of the two.
"""

min_depth, max_depth = 1e-3, 80.0
nyu_root, kitti_root = 'data/nyu', 'data/kitti'
crop_size = (352, 512)  # height, width
nyu_train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(
        type='ColorAug',
        prob=0.5,
        gamma_range=(0.9, 1.1),
        brightness_range=(0.75, 1.25),
        color_range=(0.9, 1.1),
    ),
    dict(type='PackDepthInputs'),
]
kitti_train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(
        type='ColorAug',
        prob=0.5,
        gamma_range=(0.9, 1.1),
        brightness_range=(0.9, 1.1),
        color_range=(0.9, 1.1),
    ),
    dict(type='PackDepthInputs'),
]
nyu_test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='PackDepthInputs'),
]
kitti_test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        type='MixedDepthDataset',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        datasets=[
            dict(
                type='NYUDataset',
                data_root='${nyu_root}',
                ann_file='nyu_train.txt',
                pipeline='${nyu_train_pipeline}',
            ),
            dict(
                type='KITTIDataset',
                data_root='${kitti_root}',
                ann_file='kitti_eigen_train.txt',
                data_prefix=dict(img_path='input', depth_path='gt_depth'),
                pipeline='${kitti_train_pipeline}',
            ),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MixedDepthDataset',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        datasets=[
            dict(
                type='NYUDataset',
                data_root='${nyu_root}',
                ann_file='nyu_test.txt',
                test_mode=True,
                pipeline='${nyu_test_pipeline}',
            ),
            dict(
                type='KITTIDataset',
                data_root='${kitti_root}',
                ann_file='kitti_eigen_test.txt',
                data_prefix=dict(img_path='input', depth_path='gt_depth'),
                test_mode=True,
                pipeline='${kitti_test_pipeline}',
            ),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='MixedDepthMetric',
    protocols=dict(nyu='nyu_eigen_10', kitti='kitti_eigen_garg_80'),
)
test_evaluator = val_evaluator
