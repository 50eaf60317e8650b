"""MoGe-2 on ViT-B/14, fine-tuned and scored on NYU Depth v2; converted published weights score zero-shot.

Published result: none under this protocol. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/moge2_vitl.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/foundation_finetune_20k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(model_name='vit_base_patch14_dinov2', out_indices=(2, 5, 8, 11)),
    decode_head=dict(
        in_channels=(768, 768, 768, 768),
        channels=(768, 256, 128, 64, 32),
    ),
)
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(batch_size=2)
default_hooks = dict(checkpoint=dict(interval=2000))
load_published = dict(method='moge2')
