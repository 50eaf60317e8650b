"""Virtual KITTI 2 with labels of the sky, which its depth maps store as the largest number."""

_base_ = './vkitti2.py'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='LoadSky', value=65535),
    dict(type='KBCrop', height=352, width=1216),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=0.5),
    dict(type='PackDepthInputs', with_sky=True),
]
