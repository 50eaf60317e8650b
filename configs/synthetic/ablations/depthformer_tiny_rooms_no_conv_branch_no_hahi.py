"""Ablation of depthformer_tiny_rooms: the transformer alone, without convolution branch and neck."""

_base_ = ['./depthformer_tiny_rooms_no_conv_branch.py']
model = dict(neck=None)
