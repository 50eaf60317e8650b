"""Synthetic rooms and streets in equal shares, rendered on demand and kept in memory."""

min_depth, max_depth = 1e-3, 80.0
dataset_type = 'SyntheticDataset'
image_size = (96, 128)  # height, width
train_pipeline = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [dict(type='LoadImage'), dict(type='PackDepthInputs')]
train_world = dict(
    type='${dataset_type}',
    split='train',
    num_scenes=600,
    image_size='${image_size}',
    cache=True,
    pipeline='${train_pipeline}',
)
val_world = dict(
    type='${dataset_type}',
    split='val',
    num_scenes=50,
    image_size='${image_size}',
    cache=True,
    pipeline='${test_pipeline}',
)
test_world = dict(
    type='${dataset_type}',
    split='test',
    num_scenes=50,
    image_size='${image_size}',
    pipeline='${test_pipeline}',
)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,  # each worker renders all scenes for itself
    persistent_workers=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        type='MixedDepthDataset',
        weights=[1, 1],
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        datasets=[dict(train_world, world='rooms'), dict(train_world, world='streets')],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MixedDepthDataset',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        datasets=[dict(val_world, world='rooms'), dict(val_world, world='streets')],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MixedDepthDataset',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        datasets=[dict(test_world, world='rooms'), dict(test_world, world='streets')],
    ),
)
val_evaluator = dict(
    type='MixedDepthMetric',
    protocols=dict(synthetic_rooms='rooms_10', synthetic_streets='streets_80'),
)
test_evaluator = val_evaluator
