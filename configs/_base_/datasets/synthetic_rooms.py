"""Synthetic rooms: rendered on demand, nothing to download."""

min_depth, max_depth = 1e-3, 10.0
dataset_type = 'SyntheticDataset'
image_size = (96, 128)  # height, width
train_pipeline = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [dict(type='LoadImage'), dict(type='PackDepthInputs')]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        type='${dataset_type}',
        world='rooms',
        split='train',
        num_scenes=2000,
        image_size='${image_size}',
        max_depth='${max_depth}',
        pipeline='${train_pipeline}',
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        world='rooms',
        split='val',
        num_scenes=100,
        image_size='${image_size}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        world='rooms',
        split='test',
        num_scenes=100,
        image_size='${image_size}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
val_evaluator = dict(type='DepthMetric', protocol='rooms_10')
test_evaluator = val_evaluator
