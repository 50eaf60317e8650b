"""DINOv3-S adapted by LoRA of rank 8, with a DPT decoder, NYU Depth v2: a recipe of ours. Not trained yet."""

_base_ = ['./dinov3_vits_dpt_nyu.py']
model = dict(backbone=dict(lora=dict(rank=8)))
