"""Depth Pro on three ViT-L, fine-tuned and scored on NYU Depth v2; converted published weights score zero-shot.

Published result: none under this protocol. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_pro_vitl.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/foundation_finetune_20k.py',
    '../_base_/default_runtime.py',
]
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(batch_size=1)
default_hooks = dict(checkpoint=dict(interval=2000))
load_published = dict(method='depth_pro')
