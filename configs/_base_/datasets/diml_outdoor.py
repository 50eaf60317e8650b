"""DIML outdoor, 500 test images, evaluation only.

The data set states no depth range, so a model of any range can be tested. ``max_depth`` is that of
KITTI models.
"""

min_depth, max_depth = 1e-3, 80.0
dataset_type = 'DIMLOutdoorDataset'
data_root = 'data/diml_outdoor'
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
        folder='test/LR',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
val_dataloader = test_dataloader
test_evaluator = dict(type='DepthMetric', protocol='zoedepth_diml_outdoor')
val_evaluator = test_evaluator
