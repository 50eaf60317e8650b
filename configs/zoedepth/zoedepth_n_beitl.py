"""ZoeDepth, ZoeD-M12-N: BEiT-L, NYU Depth v2, 5 epochs.

Published result (release page): abs_rel 0.075 (flip averaged). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/zoedepth_beitl.py',
    '../_base_/datasets/nyu.py',
    '../_base_/pipelines/zoedepth.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/zoedepth_5e_nyu.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
train_pipeline = '${zoedepth_nyu_pipeline}'
# The published rate is for a batch of 16 in all: 4 images on each of 4 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval='${val_interval}'))
