"""ScaleDepth on Swin-T, NYU Depth v2, 40 000 iterations: the parity case. Not trained yet."""

_base_ = './scaledepth_swin_large_NYU_480x480.py'
trunk = dict(model_name='swin_tiny_patch4_window7_224.ms_in1k')
model = dict(backbone=trunk, decode_head=dict(in_channels=[96, 192, 384, 768]))
