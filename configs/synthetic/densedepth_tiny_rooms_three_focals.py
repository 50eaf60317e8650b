"""DenseDepth on rooms of three focal lengths, whose network has to guess which one it sees.

The training has the cameras of the test, so its images are whole.
"""

_base_ = './densedepth_tiny_rooms_one_focal.py'
train_pipeline = [dict(type='RandomFlip', prob=0.5), dict(type='PackDepthInputs')]
train_dataloader = dict(dataset=dict(num_scenes=200, focal_shares='${focal_shares}'))
