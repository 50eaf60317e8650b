"""NYU Depth v2 with the pipelines of Metric3D: random resize and crop, tests on a fixed canvas."""

_base_ = ['./nyu.py', '../pipelines/metric3d.py']
train_pipeline = '${metric3d_train_pipeline}'
test_pipeline = '${metric3d_test_pipeline}'
