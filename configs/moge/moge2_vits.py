"""MoGe-2 on ViT-S/14, fine-tuned and scored on NYU Depth v2; converted published weights score zero-shot.

Published result: none under this protocol. Ours: not trained yet.
"""

_base_ = './moge2_vitl.py'
model = dict(
    backbone=dict(model_name='vit_small_patch14_dinov2', out_indices=(2, 5, 8, 11)),
    decode_head=dict(
        in_channels=(384, 384, 384, 384),
        channels=(384, 256, 128, 64, 32),
    ),
)
