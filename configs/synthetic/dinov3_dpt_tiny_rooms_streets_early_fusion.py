"""Depth completion by early fusion on synthetic rooms and streets, the plain baseline.

Start and patterns as in dinov3_dpt_tiny_rooms_streets_prompt.py. The whole model is trained; a
tenth of the images has no points.
"""

_base_ = './dinov3_dpt_tiny_rooms_streets_prompt.py'
model = dict(
    backbone=dict(freeze=False, early_fusion=True),
    decode_head=dict(prompt=None),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_pattern = dict(no_points=0.1)
