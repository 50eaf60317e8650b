"""Depth Anything 3, DINOv2-L, metric from the focal length, Virtual KITTI 2.

Our own fine-tuning; the start is that of depth_anything_3_metric_vitl_nyu. The data set has labels
of the sky, which train its layers. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_3_metric_vitl_finetune.py',
    '../_base_/datasets/vkitti2_sky.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
crop_size = (350, 700)  # whole patches of 14 pixels
model = dict(decode_head=dict(sky_weight=1.0))
train_dataloader = dict(batch_size=4)
