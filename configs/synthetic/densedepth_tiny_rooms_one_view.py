"""DenseDepth on rooms, tested with a camera of another focal length in pixels and the same view.

--cfg-options camera_size=34,45 tests a camera of fewer pixels, 68,90 one of more: their focal
lengths are 0.7 and 1.4 times that of the training, and they see the same part of a room. Images are
resized to the focal length of the training; densedepth_tiny_rooms_one_view_as_is does not.
"""

_base_ = './densedepth_tiny_rooms_one_focal_resized.py'
camera_size = (48, 64)  # height, width; the focal length is 0.85 widths
train_pipeline = [
    dict(type='RandomScale', prob=0.67, ratio_range=(0.7, 1.42)),
    dict(type='ResizeToFocal', focal='${canonical_focal}'),
    # The whole image but for the pixel by which a size was rounded.
    dict(type='RandomCrop', crop_size=(46, 62)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs'),
]
val_dataloader = dict(dataset=dict(focal_shares=None))
test_dataloader = dict(dataset=dict(image_size='${camera_size}', focal_shares=None))
val_evaluator = dict(protocol='rooms_10')
test_evaluator = dict(protocol='rooms_10')
