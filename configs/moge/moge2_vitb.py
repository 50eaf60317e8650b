"""MoGe-2 on ViT-B/14, fine-tuned and scored on NYU Depth v2; converted published weights score zero-shot.

Published result: none under this protocol. Ours: not trained yet.
"""

_base_ = './moge2_vitl.py'
model = dict(
    backbone=dict(model_name='vit_base_patch14_dinov2', out_indices=(2, 5, 8, 11)),
    decode_head=dict(
        in_channels=(768, 768, 768, 768),
        channels=(768, 256, 128, 64, 32),
    ),
)
