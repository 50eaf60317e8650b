"""Ablation of binsformer_tiny_rooms: no losses of the earlier decoder layers."""

_base_ = ['../binsformer_tiny_rooms.py']
model = dict(decode_head=dict(aux_layers=(), aux_weights=()))
