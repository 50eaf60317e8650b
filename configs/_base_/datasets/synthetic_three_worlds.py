"""Synthetic desks, rooms and streets in equal shares: ranges of 3, 10 and 80 m."""

min_depth, max_depth = 1e-3, 80.0
dataset_type = 'SyntheticDataset'
image_size = (96, 128)  # height, width
num_train, num_val, num_test = 400, 30, 60  # scenes of each world
train_pipeline = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [dict(type='LoadImage'), dict(type='PackDepthInputs')]
train_world = dict(
    type='${dataset_type}',
    split='train',
    num_scenes='${num_train}',
    image_size='${image_size}',
    cache=True,
    pipeline='${train_pipeline}',
)
val_world = dict(
    type='${dataset_type}',
    split='val',
    num_scenes='${num_val}',
    image_size='${image_size}',
    cache=True,
    pipeline='${test_pipeline}',
)
test_world = dict(
    type='${dataset_type}',
    split='test',
    num_scenes='${num_test}',
    image_size='${image_size}',
    pipeline='${test_pipeline}',
)
train_dataloader = dict(
    batch_size=9,
    num_workers=1,  # each worker renders all scenes for itself
    persistent_workers=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        type='MixedDepthDataset',
        weights=[1, 1, 1],
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        datasets=[
            dict(train_world, world='desks'),
            dict(train_world, world='rooms'),
            dict(train_world, world='streets'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=9,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MixedDepthDataset',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        datasets=[
            dict(val_world, world='desks'),
            dict(val_world, world='rooms'),
            dict(val_world, world='streets'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MixedDepthDataset',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        datasets=[
            dict(test_world, world='desks'),
            dict(test_world, world='rooms'),
            dict(test_world, world='streets'),
        ],
    ),
)
val_evaluator = dict(
    type='MixedDepthMetric',
    protocols=dict(
        synthetic_desks='desks_3', synthetic_rooms='rooms_10', synthetic_streets='streets_80'
    ),
)
test_evaluator = val_evaluator
