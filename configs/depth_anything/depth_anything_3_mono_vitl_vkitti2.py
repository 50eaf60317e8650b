"""Depth Anything 3, DINOv2-L, depth up to a factor, and sky, Virtual KITTI 2.

Our own fine-tuning; the start is that of depth_anything_3_mono_vitl_nyu. Ours: not trained yet.
Its labels of the sky train the layers of the sky, too.
"""

_base_ = [
    '../_base_/models/depth_anything_3_mono_vitl_finetune.py',
    '../_base_/datasets/vkitti2_sky.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
crop_size = (350, 700)  # whole patches of 14 pixels
model = dict(decode_head=dict(sky_weight=1.0))
train_dataloader = dict(batch_size=4)
val_evaluator = dict(protocol='scale_depth_lsq')
test_evaluator = dict(protocol='scale_depth_lsq')
