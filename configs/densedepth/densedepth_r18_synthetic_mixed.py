"""DenseDepth head on ResNet-18, trained on synthetic rooms and streets together.

Not trained yet.
"""

_base_ = [
    '../_base_/models/densedepth_r18.py',
    '../_base_/datasets/synthetic_mixed.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))
