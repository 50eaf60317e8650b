"""Depth Anything V2, DINOv2-S, with points as two more input channels, NYU Depth v2 with 500 of them.

The plain baseline beside depth_anything_v2_vits_nyu_prompt.py. Ours: not trained yet.
"""

_base_ = './depth_anything_v2_vits_nyu_prompt.py'
model = dict(backbone=dict(early_fusion=True), decode_head=dict(prompt=None))
