"""Trained and validated on NYU Depth v2, tested on SUN RGB-D, which it never saw."""

_base_ = './nyu.py'
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SUNRGBDDataset',
        data_root='data/sunrgbd',
        ann_file='SUNRGBD_val_splits.txt',
        test_mode=True,
        pipeline=[dict(type='LoadImage'), dict(type='LoadDepth'), dict(type='PackDepthInputs')],
    ),
)
test_evaluator = dict(_delete_=True, type='DepthMetric', protocol='sunrgbd_8')
