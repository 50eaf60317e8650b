"""A folder of one's own with the pipelines of Metric3D: random resize and crop, tests on a fixed canvas."""

_base_ = ['./folder.py', '../pipelines/metric3d.py']
train_pipeline = '${metric3d_train_pipeline}'
test_pipeline = '${metric3d_test_pipeline}'
