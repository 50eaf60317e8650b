"""Cityscapes, 2975 training images, 500 validation images as test set.

Images are halved; predictions are scored at the full 2048x1024.
"""

min_depth, max_depth = 1e-3, 200.0
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
image_size = (1024, 512)  # width, height, of training and test
crop_size = (352, 704)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${image_size}'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=1.0),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${image_size}', resize_depth=False),
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
test_evaluator = dict(type='DepthMetric', protocol='cityscapes_200')
val_evaluator = test_evaluator
