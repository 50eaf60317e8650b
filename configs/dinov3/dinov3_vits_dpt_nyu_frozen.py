"""Frozen DINOv3-S with a DPT decoder, NYU Depth v2, 24 epochs: a recipe of ours. Not trained yet."""

_base_ = ['./dinov3_vits_dpt_nyu.py']
model = dict(backbone=dict(freeze=True))
