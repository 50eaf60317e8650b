"""A tiny ZoeDepth on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/models/zoedepth_tiny.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
