"""Swin-L, window 12, pre-trained on ImageNet-22k at 384x384."""

_base_ = './scaledepth_head.py'
model = dict(
    backbone=dict(
        type='TimmBackbone',
        model_name='swin_large_patch4_window12_384.ms_in22k',
        pretrained=True,
        out_norm='LN',
        model_args=dict(drop_path_rate=0.3),
    ),
)
