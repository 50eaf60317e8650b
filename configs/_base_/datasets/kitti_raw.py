"""KITTI raw, one view, split of the self-supervised methods (697 test images).

The ground truth of training is a single laser sweep. Images may be PNG or converted to JPEG.
Training depth is along the camera's axis. The test is the published one: the scan's forward axis at
375x1242, without alignment. ``monodepth2_median``, the protocol of models without scale, takes each
day's own size: ``kitti_raw_native.py``. Stereo training: ``projects/EPCDepth``.
"""

min_depth, max_depth = 1e-3, 80.0
dataset_type = 'KITTIRawDataset'
data_root = 'data/kitti_raw'
crop_size = (352, 704)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadVelodyneDepth', depth_axis='camera', size=None),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadVelodyneDepth', depth_axis='forward', size=(375, 1242)),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='splits/eigen_full_train.txt',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        pipeline='${train_pipeline}',
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='splits/eigen_full_val.txt',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        ann_file='splits/eigen_test.txt',
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
val_evaluator = dict(type='DepthMetric', protocol='epcdepth_stereo')
test_evaluator = val_evaluator
