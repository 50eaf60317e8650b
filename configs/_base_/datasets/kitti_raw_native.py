"""KITTI raw, tested as in Monodepth2: own image size of each day, medians aligned.

Otherwise as kitti_raw.py.
"""

_base_ = ['./kitti_raw.py']
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadVelodyneDepth', depth_axis='forward', size=None),
    dict(type='PackDepthInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(type='DepthMetric', protocol='monodepth2_median')
test_evaluator = val_evaluator
