"""DINOv3-S with a DPT decoder, Hypersim up to 20 m: a recipe of ours. Not trained yet.

The encoder learns at a tenth of the head's rate. Scored as ZoeDepth was on its test split.
"""

_base_ = [
    '../_base_/models/dinov3_vits_dpt.py',
    '../_base_/datasets/hypersim.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
max_depth = 20.0
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
train_dataloader = dict(batch_size=4)
