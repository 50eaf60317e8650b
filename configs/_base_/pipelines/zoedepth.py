"""Training pipelines of ZoeDepth for NYU and KITTI: whole images, stretched to the network's size later.

NYU keeps its white border. Leaf configs choose one, or both for two domains.
"""

zoedepth_nyu_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='RandomRotate', prob=1.0, degree=1.0),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='ColorAug',
        prob=0.5,
        gamma_range=(0.9, 1.1),
        brightness_range=(0.75, 1.25),
        color_range=(0.9, 1.1),
    ),
    dict(type='PackDepthInputs'),
]
zoedepth_kitti_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomRotate', prob=1.0, degree=1.0),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='ColorAug',
        prob=0.5,
        gamma_range=(0.9, 1.1),
        brightness_range=(0.9, 1.1),
        color_range=(0.9, 1.1),
    ),
    dict(type='PackDepthInputs'),
]
