"""ZoeDepth, BEiT-L, any folder of images and depth: frozen transformer."""

_base_ = './zoedepth_n_beitl_folder.py'
model = dict(backbone=dict(freeze=True))
