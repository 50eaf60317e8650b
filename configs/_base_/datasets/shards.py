"""Tar shards of any data set, from a folder, a web server or an object store (docs/shards.md)."""

min_depth, max_depth = 1e-3, 10.0
dataset_type = 'ShardDataset'
# A path, http(s)://... or s3://...; each holds shards.json.
train_shards, val_shards = 'data/shards/train', 'data/shards/val'
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
    # Images of a step on all processes, or a multiple; part of the order of the samples.
    sampler=dict(type='ShardSampler', lanes=16),
    dataset=dict(
        type='${dataset_type}',
        shards='${train_shards}',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        cache_gb=100.0,
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
        shards='${val_shards}',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='DepthMetric', protocol='folder', max_depth='${max_depth}')
test_evaluator = val_evaluator
