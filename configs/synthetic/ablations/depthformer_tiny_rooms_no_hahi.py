"""Ablation of depthformer_tiny_rooms: no neck, the decoder reads the encoder's features."""

_base_ = ['../depthformer_tiny_rooms.py']
model = dict(neck=None)
