"""Ablation of epcdepth_r18_kitti_192x640: no data grafting. Not trained yet."""

_base_ = ['../EPCDepth/epcdepth_r18_kitti_192x640.py']
model = dict(train_cfg=dict(graft=False))
