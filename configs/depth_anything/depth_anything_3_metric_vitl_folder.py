"""Depth Anything 3, DINOv2-L, metric from the focal length, any folder that has cameras (intrinsics.json).

Our own fine-tuning; the start is that of depth_anything_3_metric_vitl_nyu. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_3_metric_vitl_finetune.py',
    '../_base_/datasets/folder.py',
    '../_base_/schedules/slow_encoder_10k.py',
    '../_base_/default_runtime.py',
]
crop_size = (420, 560)  # whole patches of 14 pixels
train_dataloader = dict(batch_size=8)
