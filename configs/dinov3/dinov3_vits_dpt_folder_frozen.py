"""Frozen DINOv3-S with a DPT decoder, any folder of images and depth."""

_base_ = ['./dinov3_vits_dpt_folder.py']
model = dict(backbone=dict(freeze=True))
