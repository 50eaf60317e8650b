"""Any folder with train/ and val/, each with images/ and depth/ (docs/get_started.md)."""

min_depth, max_depth = 1e-3, 10.0
dataset_type = 'FolderDepthDataset'
train_root, val_root = 'data/folder/train', 'data/folder/val'
crop_size = (416, 544)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        type='${dataset_type}',
        data_root='${train_root}',
        data_prefix=dict(img_path='images', depth_path='depth'),
        depth_scale=1000.0,
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
        data_root='${val_root}',
        data_prefix=dict(img_path='images', depth_path='depth'),
        depth_scale=1000.0,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='DepthMetric', protocol='folder', max_depth='${max_depth}')
test_evaluator = val_evaluator
