"""DINOv3-S adapted by LoRA of rank 8, with a DPT decoder, any folder of images and depth."""

_base_ = ['./dinov3_vits_dpt_folder.py']
model = dict(backbone=dict(lora=dict(rank=8)))
