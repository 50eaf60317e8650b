"""BinsFormer, Swin-L (ImageNet-22k), trained on NYU Depth v2, tested on SUN RGB-D.

No results are published.
"""

_base_ = [
    '../_base_/models/binsformer_swinl_22k_w7.py',
    '../_base_/datasets/nyu2sunrgbd.py',
    '../_base_/schedules/binsformer_38k.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# The published rate is for a batch of 16: 2 images on each of 8 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=2)
