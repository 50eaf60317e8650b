"""DenseDepth on rooms of three focal lengths, whose network has to guess which one it sees."""

_base_ = './densedepth_tiny_rooms_one_focal.py'
train_dataloader = dict(dataset=dict(num_scenes=200, focal_shares='${focal_shares}'))
