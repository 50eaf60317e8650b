"""Depth Anything 3, DINOv2-L, metric, any folder that has cameras: encoder adapted by LoRA of rank 8."""

_base_ = './depth_anything_3_metric_vitl_folder.py'
model = dict(backbone=dict(lora=dict(rank=8)))
