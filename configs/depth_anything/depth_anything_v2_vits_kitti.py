"""Depth Anything V2, DINOv2-S, metric, KITTI Eigen split: our own fine-tuning at the data set's size.

The start is that of depth_anything_v2_vits_nyu. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits_finetune.py',
    '../_base_/datasets/kitti_eigen.py',
    '../_base_/schedules/slow_encoder_24e_kitti.py',
    '../_base_/default_runtime.py',
]
crop_size = (350, 700)  # whole patches of 14 pixels
train_dataloader = dict(batch_size=4)
