"""AdaBins, EfficientNet-B5 AP, KITTI Eigen split, 24 epochs.

Published result: abs_rel 0.058, rmse 2.33, d1 0.964 (flip averaged). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/adabins_efnetb5ap.py',
    '../_base_/datasets/kitti_eigen.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/adabins_24e_kitti.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# The published rate is for a batch of 16: 8 images on each of 2 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=8)
