"""BinsFormer, Swin-L (ImageNet-22k), KITTI Eigen split, 38400 iterations.

Published result: none (the authors lost the weights). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/binsformer_swinl_22k_w7.py',
    '../_base_/datasets/kitti_eigen.py',
    '../_base_/schedules/binsformer_38k.py',
    '../_base_/default_runtime.py',
]
# KITTI has one kind of scene: no classification, and the level order of the published file.
head = dict(num_classes=0, level_order='//')
model = dict(decode_head=dict(**head, min_depth='${min_depth}', max_depth='${max_depth}'))
# The published rate is for a batch of 16: 2 images on each of 8 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=2)
