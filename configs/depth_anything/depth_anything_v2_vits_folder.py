"""Depth Anything V2, DINOv2-S, metric, any folder of images and depth (docs/get_started.md).

The start is that of depth_anything_v2_vits_nyu. Set max_depth to the far end of your data.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits_finetune.py',
    '../_base_/datasets/folder.py',
    '../_base_/schedules/slow_encoder_10k.py',
    '../_base_/default_runtime.py',
]
crop_size = (420, 560)  # whole patches of 14 pixels
train_dataloader = dict(batch_size=8)
