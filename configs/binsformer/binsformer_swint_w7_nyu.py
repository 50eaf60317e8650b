"""BinsFormer, Swin-T, NYU Depth v2, 38400 iterations.

Published result: abs_rel 0.113, rmse 0.379, d1 0.890 (flip averaged). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/binsformer_swint_w7.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/binsformer_38k.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# The published rate is for a batch of 16: 2 images on each of 8 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=2)
