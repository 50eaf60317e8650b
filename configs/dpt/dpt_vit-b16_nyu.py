"""DPT, ViT-B/16, NYU Depth v2, 24 epochs.

Published result: abs_rel 0.135, rmse 0.413, d1 0.863 (flip averaged). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/dpt_vit-b16.py',
    '../_base_/datasets/nyu.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/dpt_24e_nyu.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# The published rate is for a batch of 16: 2 images on each of 8 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=2)
default_hooks = dict(checkpoint=dict(interval='${val_interval}'))
