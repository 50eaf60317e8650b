"""KITTI Eigen split with the Plane2Depth augmentation: KB crop, mirror, 352x1120 crops, colour."""

_base_ = '../../../../configs/_base_/datasets/kitti_eigen.py'
crop_size = (352, 1120)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='KBCrop'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='RandomBrightnessContrast', prob=0.5),
    dict(type='RandomGamma', prob=0.5),
    dict(type='RandomHueSaturationValue', prob=0.5),
    dict(type='PackDepthInputs', with_normals=True),
]
train_dataloader = dict(batch_size=4)
