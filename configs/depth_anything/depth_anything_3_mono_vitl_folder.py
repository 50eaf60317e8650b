"""Depth Anything 3, DINOv2-L, depth up to a factor, any folder (docs/get_started.md).

Our own fine-tuning; the start is that of depth_anything_3_mono_vitl_nyu. Ours: not trained yet.
For masks of the sky beside the images see docs/finetune.md.
"""

_base_ = [
    '../_base_/models/depth_anything_3_mono_vitl_finetune.py',
    '../_base_/datasets/folder.py',
    '../_base_/schedules/slow_encoder_10k.py',
    '../_base_/default_runtime.py',
]
crop_size = (420, 560)  # whole patches of 14 pixels
train_dataloader = dict(batch_size=8)
val_evaluator = dict(protocol='scale_depth_lsq')
test_evaluator = dict(protocol='scale_depth_lsq')
