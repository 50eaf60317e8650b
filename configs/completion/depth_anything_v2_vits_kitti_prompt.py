"""Depth Anything V2, DINOv2-S, with a prompt of laser points, KITTI depth completion.

As in Prompting Depth Anything the whole model is trained, the encoder at a tenth of the rate.
Frames are cut to whole patches of 14 pixels. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits_finetune.py',
    '../_base_/datasets/kitti_completion.py',
    '../_base_/schedules/slow_encoder_24e_kitti.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(prompt=dict(type='PromptFusion')))
crop_size = (350, 700)
train_dataloader = dict(batch_size=4)
