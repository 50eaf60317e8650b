"""Hypersim, official split; 7690 test images. Dataloaders are those of ddad.py."""

_base_ = './ddad.py'
dataset_type = 'HypersimDataset'
data_root = 'data/hypersim'
image_size = (640, 480)  # at most: width, height, of training and test
crop_size = (416, 544)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${image_size}', keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${image_size}', keep_ratio=True, resize_depth=False),
    dict(type='PackDepthInputs'),
]
val_dataloader = dict(dataset=dict(split='test'))
test_dataloader = dict(dataset=dict(split='test'))
val_evaluator = dict(protocol='zoedepth_hypersim')
test_evaluator = dict(protocol='zoedepth_hypersim')
