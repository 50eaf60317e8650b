"""Depth Anything 3, DINOv2-L, depth up to a factor, any folder: encoder adapted by LoRA of rank 8."""

_base_ = './depth_anything_3_mono_vitl_folder.py'
model = dict(backbone=dict(lora=dict(rank=8)))
