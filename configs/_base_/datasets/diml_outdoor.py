"""DIML outdoor, 500 test images, evaluation only.

The data set states no depth range, so a model of any range can be tested. ``max_depth`` is that of
KITTI models.
"""

_base_ = '../evaluation_only.py'
min_depth, max_depth = 1e-3, 80.0
dataset_type = 'DIMLOutdoorDataset'
data_root = 'data/diml_outdoor'
test_dataloader = dict(dataset=dict(folder='test/LR'))
val_dataloader = test_dataloader
test_evaluator = dict(type='DepthMetric', protocol='zoedepth_diml_outdoor')
val_evaluator = test_evaluator
