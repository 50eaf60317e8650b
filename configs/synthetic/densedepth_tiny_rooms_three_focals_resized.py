"""DenseDepth on rooms of three focal lengths, all resized to that of the canonical camera."""

_base_ = './densedepth_tiny_rooms_one_focal_resized.py'
train_dataloader = dict(dataset=dict(num_scenes=200, focal_shares='${focal_shares}'))
