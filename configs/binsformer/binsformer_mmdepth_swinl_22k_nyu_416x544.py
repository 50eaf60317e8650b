"""The mmdepth variant of BinsFormer on Swin-L (ImageNet-22k), NYU Depth v2.

416x544 crops, 40 000 iterations. No results are published. Ours: not trained yet.
"""

_base_ = './binsformer_mmdepth_swin_tiny_nyu.py'
model = dict(
    backbone=dict(model_name='swin_large_patch4_window7_224.ms_in22k'),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
)
