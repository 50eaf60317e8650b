"""Depth Anything 3, DINOv2-L, depth up to a factor, KITTI Eigen split.

Our own fine-tuning; the start is that of depth_anything_3_mono_vitl_nyu. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_3_mono_vitl_finetune.py',
    '../_base_/datasets/kitti_eigen.py',
    '../_base_/schedules/slow_encoder_24e_kitti.py',
    '../_base_/default_runtime.py',
]
crop_size = (350, 700)  # whole patches of 14 pixels
train_dataloader = dict(batch_size=4)
val_evaluator = dict(protocol='scale_depth_lsq')
test_evaluator = dict(protocol='scale_depth_lsq')
