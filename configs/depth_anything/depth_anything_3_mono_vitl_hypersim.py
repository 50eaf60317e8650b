"""Depth Anything 3, DINOv2-L, depth up to a factor, Hypersim up to 20 m.

Our own fine-tuning; the start is that of depth_anything_3_mono_vitl_nyu. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_3_mono_vitl_finetune.py',
    '../_base_/datasets/hypersim.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
max_depth = 20.0
crop_size = (420, 560)  # whole patches of 14 pixels
train_dataloader = dict(batch_size=4)
val_evaluator = dict(protocol='scale_depth_lsq')
test_evaluator = dict(protocol='scale_depth_lsq')
