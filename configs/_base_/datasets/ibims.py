"""iBims-1, 100 images, evaluation only.

The data set states no depth range, so a model of any range can be tested. ``max_depth`` is that of
NYU models.
"""

_base_ = '../evaluation_only.py'
min_depth, max_depth = 1e-3, 10.0
dataset_type = 'IBimsDataset'
data_root = 'data/ibims1'
test_evaluator = dict(type='DepthMetric', protocol='zoedepth_ibims')
val_evaluator = test_evaluator
