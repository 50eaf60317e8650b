"""Depth Anything V2, DINOv2-S, metric, any folder: frozen encoder."""

_base_ = './depth_anything_v2_vits_folder.py'
model = dict(backbone=dict(freeze=True))
