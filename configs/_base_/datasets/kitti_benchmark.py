"""KITTI depth benchmark, training and validation lists; otherwise as kitti_eigen.py.

Ground truth reaches 88 m. The test set is in kitti_benchmark_test.py.
"""

_base_ = './kitti_eigen.py'
max_depth = 88.0
dataset_type = 'KITTIBenchmarkDataset'
color_prob = 1.0  # published code augments the colours of every image
train_dataloader = dict(dataset=dict(ann_file='kitti_benchmark_train.txt'))
val_dataloader = dict(dataset=dict(ann_file='kitti_benchmark_val.txt'))
test_dataloader = dict(dataset=dict(ann_file='kitti_benchmark_val.txt'))
val_evaluator = dict(protocol='kitti_benchmark')
test_evaluator = dict(protocol='kitti_benchmark')
