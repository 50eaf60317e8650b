"""The tiny ScaleDepth on synthetic rooms alone: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/scaledepth_tiny.py',
    '../../../../configs/_base_/datasets/synthetic_rooms.py',
    '../../../../configs/_base_/schedules/synthetic.py',
    '../../../../configs/_base_/default_runtime.py',
]
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
