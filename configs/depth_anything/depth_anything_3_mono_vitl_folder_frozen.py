"""Depth Anything 3, DINOv2-L, depth up to a factor, any folder: frozen encoder."""

_base_ = './depth_anything_3_mono_vitl_folder.py'
model = dict(backbone=dict(freeze=True))
