"""NYU Depth v2, test set alone, for models without a training recipe. Leaf configs set the pipeline."""

min_depth, max_depth = 1e-3, 10.0
dataset_type = 'NYUDataset'
data_root = 'data/nyu'
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
        ann_file='nyu_test.txt',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
test_evaluator = dict(type='DepthMetric', protocol='midas_disparity_lsq_10')
test_cfg = dict(type='TestLoop')
