"""DenseDepth on rooms of one focal length; images of other cameras are resized to it.

The training is that of densedepth_tiny_rooms_one_focal.py, whose images have the focal length of the
canonical camera already.
"""

_base_ = './densedepth_tiny_rooms_one_focal.py'
canonical_focal = 54.4  # pixels
train_pipeline = [
    dict(type='ResizeToFocal', focal='${canonical_focal}'),
    dict(type='RandomCrop', crop_size=(32, 44)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeToFocal', focal='${canonical_focal}', resize_depth=False),
    dict(type='PackDepthInputs'),
]
