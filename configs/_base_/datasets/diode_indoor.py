"""DIODE indoors; 325 validation images are the test set."""

min_depth, max_depth = 1e-3, 10.0
dataset_type = 'DIODEIndoorDataset'
data_root = 'data/diode'
image_size = (640, 480)  # at most: width, height, of training and test
crop_size = (416, 544)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${image_size}', keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${image_size}', keep_ratio=True, resize_depth=False),
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
test_evaluator = dict(type='DepthMetric', protocol='zoedepth_diode_indoor')
val_evaluator = test_evaluator
