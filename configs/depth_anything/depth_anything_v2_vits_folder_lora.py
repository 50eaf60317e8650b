"""Depth Anything V2, DINOv2-S, metric, any folder: encoder adapted by LoRA of rank 8."""

_base_ = './depth_anything_v2_vits_folder.py'
model = dict(backbone=dict(lora=dict(rank=8)))
