"""Ablation of epcdepth_r18_kitti_192x640: no selective distillation. Not trained yet."""

_base_ = ['../EPCDepth/epcdepth_r18_kitti_192x640.py']
model = dict(view_loss=dict(distill_weight=0.0))
