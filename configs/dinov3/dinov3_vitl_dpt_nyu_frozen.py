"""Frozen DINOv3-L with a DPT decoder, NYU Depth v2, 24 epochs: a recipe of ours. Not trained yet."""

_base_ = ['./dinov3_vitl_dpt_nyu.py']
model = dict(backbone=dict(freeze=True))
