"""DenseDepth head on ResNet-18, synthetic rooms: a quick experiment without data."""

_base_ = [
    '../_base_/models/densedepth_r18.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))
