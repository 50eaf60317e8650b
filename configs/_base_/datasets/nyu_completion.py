"""NYU Depth v2 with 500 random points: half size, central 228x304, as Sparse-to-Dense tests.

Training draws between 100 and 1000 points; its augmentation is ours.
"""

_base_ = './nyu.py'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='RandomRotate', prob=1.0, degree=5.0),
    dict(type='Resize', scale=(320, 240)),
    dict(type='CenterCrop', height=228, width=304),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='ColorAug',
        prob=0.5,
        gamma_range=(0.9, 1.1),
        brightness_range=(0.75, 1.25),
        color_range=(0.9, 1.1),
    ),
    dict(type='RandomPoints', num_points=(100, 1000)),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale=(320, 240)),
    dict(type='CenterCrop', height=228, width=304),
    dict(type='RandomPoints', num_points=500, seed=0),
    dict(type='PackDepthInputs'),
]
val_evaluator = dict(protocol='nyu_completion_500')
test_evaluator = dict(protocol='nyu_completion_500')
