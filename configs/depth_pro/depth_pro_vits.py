"""Depth Pro on three ViT-S, fine-tuned and scored on NYU Depth v2; converted published weights score zero-shot.

Published result: none under this protocol. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_pro_vitl.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/foundation_finetune_20k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        model_name='vit_small_patch14_dinov2',
        hook_blocks=(2, 5),
        channels=(48, 96, 192, 384),
        decoder_channels=64,
    ),
    decode_head=dict(in_channels=(64, 48, 96, 192, 384), fov_channels=384, channels=64),
)
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(batch_size=1)
default_hooks = dict(checkpoint=dict(interval=2000))
load_published = dict(method='depth_pro')
