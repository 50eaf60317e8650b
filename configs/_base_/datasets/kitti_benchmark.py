"""KITTI depth benchmark, training and validation lists; otherwise as kitti_eigen.py.

Ground truth reaches 88 m. The test set is in kitti_benchmark_test.py.
"""

_base_ = './kitti_eigen.py'
max_depth = 88.0
dataset_type = 'KITTIBenchmarkDataset'
# As kitti_eigen.py but for ColorAug: published code augments the colours of every image (prob=1.0).
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomRotate', prob=0.5, degree=2.5),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(
        type='ColorAug',
        prob=1.0,
        gamma_range=(0.9, 1.1),
        brightness_range=(0.9, 1.1),
        color_range=(0.9, 1.1),
    ),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(dataset=dict(ann_file='kitti_benchmark_train.txt'))
val_dataloader = dict(dataset=dict(ann_file='kitti_benchmark_val.txt'))
test_dataloader = dict(dataset=dict(ann_file='kitti_benchmark_val.txt'))
val_evaluator = dict(protocol='kitti_benchmark')
test_evaluator = dict(protocol='kitti_benchmark')
