"""DenseDepth on rooms of three focal lengths, all resized to that of the canonical camera.

Views of 45 to 80 degrees differ in size then. Whole images are trained, padded to one canvas in the
training as in the test, so that no view is new to the network.
"""

_base_ = './densedepth_tiny_rooms_one_focal_resized.py'
# The widest view has 68x90 pixels after the resize.
model = dict(data_preprocessor=dict(pad_size_divisor=92))
train_pipeline = [
    dict(type='RandomScale', prob=0.67, ratio_range=(0.7, 1.42)),
    dict(type='ResizeToFocal', focal='${canonical_focal}'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(dataset=dict(num_scenes=200, focal_shares='${focal_shares}'))
