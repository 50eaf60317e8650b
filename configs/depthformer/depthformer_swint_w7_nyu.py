"""DepthFormer, Swin-T, NYU Depth v2, 38400 iterations.

Published result: abs_rel 0.120, rmse 0.402, d1 0.873 (flip averaged). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depthformer_swint_w7.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/adamw_38k_cosine.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# The published rate is for a batch of 16: 8 images on each of 2 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=6e-5))
