"""DDAD, front camera, official split; 3950 validation images serve as test set.

Images are squeezed to 1216x352 as in published zero-shot tests; predictions are scored at
1936x1216.
"""

min_depth, max_depth = 1e-3, 80.0
dataset_type = 'DDADDataset'
data_root = 'data/ddad'
crop_size = (352, 704)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale=(968, 608)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale=(1216, 352), resize_depth=False),
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
        split='train',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        pipeline='${train_pipeline}',
    ),
)
# A test set states no range, so that a model of any range can be tested on it.
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        split='val',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
val_dataloader = test_dataloader
test_evaluator = dict(type='DepthMetric', protocol='zoedepth_ddad')
val_evaluator = test_evaluator
