"""KITTI, Eigen split, published training pipeline (352x704 crops)."""

min_depth, max_depth = 1e-3, 80.0
dataset_type = 'KITTIDataset'
data_root = 'data/kitti'
crop_size = (352, 704)  # height, width
color_prob = 0.5  # share of images whose colours are changed
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomRotate', prob=0.5, degree=2.5),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(
        type='ColorAug',
        prob='${color_prob}',
        gamma_range=(0.9, 1.1),
        brightness_range=(0.9, 1.1),
        color_range=(0.9, 1.1),
    ),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
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
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='kitti_eigen_train.txt',
        data_prefix=dict(img_path='input', depth_path='gt_depth'),
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        pipeline='${train_pipeline}',
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='kitti_eigen_test.txt',
        data_prefix=dict(img_path='input', depth_path='gt_depth'),
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='DepthMetric', protocol='kitti_eigen_garg_80')
test_evaluator = val_evaluator
