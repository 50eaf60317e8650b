"""DenseDepth head on ImageNet ResNet-50, NYU Depth v2, 24 epochs.

Batches of 16, 8 in each of two processes. Result: not trained yet.
"""

_base_ = [
    '../_base_/models/densedepth_r50.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/onecycle_24e_nyu.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# Our own recipe, the batch of the other methods of the "24x" schedule: 8 images on each of 2 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=8)
