"""Virtual KITTI 2, trained on four scenes, tested on Scene20 (every fifth left image, 1680 in all).

The published test list of 1701 images is a random draw from all scenes that was not released; who
has it sets ``ann_file`` of the test set.
"""

min_depth, max_depth = 1e-3, 80.0
dataset_type = 'VirtualKITTI2Dataset'
data_root = 'data/vkitti2'
crop_size = (352, 704)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
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
        scenes=('Scene01', 'Scene02', 'Scene06', 'Scene18'),
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        pipeline='${train_pipeline}',
    ),
)
# A test set states no range, so that a model of any range can be tested on it.
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='${dataset_type}',
        data_root='${data_root}',
        scenes=('Scene20',),
        cameras=(0,),
        step=5,
        test_mode=True,
        pipeline='${test_pipeline}',
    ),
)
val_dataloader = test_dataloader
test_evaluator = dict(type='DepthMetric', protocol='zoedepth_vkitti2')
val_evaluator = test_evaluator
