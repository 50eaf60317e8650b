"""Ablation of epcdepth_r18_kitti_192x640: no depth hints. Not trained yet."""

_base_ = ['../EPCDepth/epcdepth_r18_kitti_192x640.py']
model = dict(view_loss=dict(hint_weight=0.0))
train_pipeline = [
    dict(type='LoadPair'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale='${size}', resize_depth=False, interpolation='lanczos'),
    dict(type='NominalIntrinsics'),
    dict(type='ColorJitterPair', prob=0.5),
    dict(type='PackStereoInputs'),
]
train_dataloader = dict(dataset=dict(hint_root=None))
