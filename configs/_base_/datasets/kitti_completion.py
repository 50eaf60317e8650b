"""KITTI depth completion: training list of the benchmark, validation selection of 1000 frames."""

_base_ = './kitti_benchmark.py'
max_depth = 90.0
dataset_type = 'KITTICompletionDataset'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='LoadSparseDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(
        type='ColorAug',
        prob=0.5,
        gamma_range=(0.9, 1.1),
        brightness_range=(0.9, 1.1),
        color_range=(0.9, 1.1),
    ),
    dict(type='PackDepthInputs'),
]
# The frames of the selection are cut to 352x1216 already.
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='LoadSparseDepth'),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(dataset=dict(data_prefix=dict(sparse_path='velodyne_raw')))
val_dataloader = dict(
    dataset=dict(
        ann_file='', split='val_selection', data_prefix=dict(_delete_=True, sparse_path='')
    )
)
test_dataloader = dict(
    dataset=dict(
        ann_file='', split='val_selection', data_prefix=dict(_delete_=True, sparse_path='')
    )
)
val_evaluator = dict(protocol='kitti_completion', pixel_metrics=['rmse_mm', 'mae_mm'])
test_evaluator = dict(protocol='kitti_completion', pixel_metrics=['rmse_mm', 'mae_mm'])
