"""NYU and KITTI together with the ScaleDepth augmentation: mirror, 352x512 crops, colour."""

_base_ = '../../../../configs/_base_/datasets/nyu_kitti_mixed.py'
start = [dict(type='LoadImage'), dict(type='LoadDepth'), dict(type='AddSceneCategory')]
crop_size = (352, 512)  # height, width
augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='RandomBrightnessContrast', prob=0.5),
    dict(type='RandomGamma', prob=0.5),
    dict(type='RandomHueSaturationValue', prob=0.5),
    dict(type='PackDepthInputs'),
]
nyu = dict(
    type='NYUDataset',
    data_root='${nyu_root}',
    ann_file='nyu_train.txt',
    pipeline=[*start, *augmentation],
)
kitti = dict(
    type='KITTIDataset',
    data_root='${kitti_root}',
    ann_file='kitti_eigen_train.txt',
    data_prefix=dict(img_path='input', depth_path='gt_depth'),
    pipeline=[*start, dict(type='KBCrop'), *augmentation],
)
train_dataloader = dict(batch_size=8, dataset=dict(datasets=[nyu, kitti]))
