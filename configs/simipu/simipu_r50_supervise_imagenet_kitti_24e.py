"""DenseDepth head on ResNet-50, from ImageNet weights, KITTI Eigen split, 24 epochs.

Published result: abs_rel 0.060, rmse 2.454, d1 0.958 (flip averaged). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/simipu_r50.py',
    '../_base_/datasets/kitti_eigen.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/onecycle_24e_kitti.py',
]
model = dict(
    backbone=dict(pretrained=True),
    decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'),
)
# The published rate is for a batch of 16: 8 images on each of 2 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=8)
