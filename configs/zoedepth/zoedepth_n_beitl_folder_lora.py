"""ZoeDepth, BEiT-L, any folder of images and depth: transformer adapted by LoRA of rank 8."""

_base_ = './zoedepth_n_beitl_folder.py'
model = dict(backbone=dict(lora=dict(rank=8)))
