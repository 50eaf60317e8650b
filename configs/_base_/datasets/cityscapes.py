"""Cityscapes, 2975 training images, 500 validation images as test set.

Images are halved; predictions are scored at the full 2048x1024. Dataloaders are those of ddad.py.
"""

_base_ = './ddad.py'
max_depth = 200.0
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
image_size = (1024, 512)  # width, height, of training and test
crop_size = (352, 704)  # height, width
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${image_size}'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='ColorAug', prob=1.0),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${image_size}', resize_depth=False),
    dict(type='PackDepthInputs'),
]
val_evaluator = dict(protocol='cityscapes_200')
test_evaluator = dict(protocol='cityscapes_200')
