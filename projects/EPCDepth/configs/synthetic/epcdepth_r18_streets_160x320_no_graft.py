"""Ablation of epcdepth_r18_streets_160x320: no data grafting."""

_base_ = ['./epcdepth_r18_streets_160x320.py']
model = dict(train_cfg=dict(graft=False))
