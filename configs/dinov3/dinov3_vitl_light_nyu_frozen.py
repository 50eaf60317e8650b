"""Frozen DINOv3-L with a light head, NYU Depth v2, 24 epochs: a recipe of ours. Not trained yet."""

_base_ = ['./dinov3_vitl_light_nyu.py']
model = dict(backbone=dict(freeze=True))
