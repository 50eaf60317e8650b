"""Ablation of epcdepth_r18_streets_160x320: no selective self-distillation."""

_base_ = ['./epcdepth_r18_streets_160x320.py']
model = dict(view_loss=dict(distill_weight=0.0))
