"""NYU Depth v2 with the mmdepth augmentation: strip mix, mirror, 416x544 crops, colour."""

_base_ = './nyu.py'
crop_size = (416, 544)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='DepthStripMix', prob=0.25),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='RandomBrightnessContrast', prob=0.5),
    dict(type='RandomGamma', prob=0.5),
    dict(type='RandomHueSaturationValue', prob=0.5),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(batch_size=6)
