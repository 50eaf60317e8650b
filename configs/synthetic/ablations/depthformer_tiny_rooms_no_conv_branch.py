"""Ablation of depthformer_tiny_rooms: no convolution branch.

The neck takes the finest map of the transformer for that of the convolution branch.
"""

_base_ = ['../depthformer_tiny_rooms.py']
channels = [32, 64, 128, 256]
model = dict(
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='swin_tiny_patch4_window7_224',
        out_norm='LN',
        model_args=dict(
            embed_dim=32,
            depths=(2, 2, 2, 2),
            num_heads=(1, 2, 4, 8),
            window_size=4,
            drop_path_rate=0.0,
        ),
    ),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels),
)
