"""DenseDepth on rooms of one focal length; images of other cameras are resized to it.

A resized image is smoother or less noisy than one of the canonical camera. The training makes such
images too: of random sizes first, then back to the canonical focal length.
"""

_base_ = './densedepth_tiny_rooms_one_focal.py'
canonical_focal = 54.4  # pixels
train_pipeline = [
    # The focal lengths of the test are 0.71 to 1.41 times that of the training.
    dict(type='RandomScale', prob=0.67, ratio_range=(0.7, 1.42)),
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
