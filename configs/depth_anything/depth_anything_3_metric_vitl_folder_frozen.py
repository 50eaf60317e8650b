"""Depth Anything 3, DINOv2-L, metric, any folder that has cameras: frozen encoder."""

_base_ = './depth_anything_3_metric_vitl_folder.py'
model = dict(backbone=dict(freeze=True))
