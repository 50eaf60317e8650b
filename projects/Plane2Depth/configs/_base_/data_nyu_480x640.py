"""NYU Depth v2 with the Plane2Depth augmentation: strip mix, mirror, whole frames, colour."""

_base_ = '../../../../configs/_base_/datasets/nyu.py'
crop_size = (480, 640)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='DepthStripMix', prob=0.25),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='RandomBrightnessContrast', prob=0.5),
    dict(type='RandomGamma', prob=0.5),
    dict(type='RandomHueSaturationValue', prob=0.5),
    dict(type='PackDepthInputs', with_normals=True),
]
train_dataloader = dict(batch_size=4)
