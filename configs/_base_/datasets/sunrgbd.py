"""SUN RGB-D, 5050 images, evaluation only.

The data set states no depth range, so a model of any range can be tested. ``max_depth`` is that of
NYU models.
"""

min_depth, max_depth = 1e-3, 10.0
dataset_type = 'SUNRGBDDataset'
data_root = 'data/sunrgbd'
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='PackDepthInputs'),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='SUNRGBD_val_splits.txt',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
val_dataloader = test_dataloader
test_evaluator = dict(type='DepthMetric', protocol='sunrgbd_8')
val_evaluator = test_evaluator
