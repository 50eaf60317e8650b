"""DepthFormer on Swin-L, pre-trained on ImageNet-22k. Leaf configs bind the depth range."""

_base_ = './depthformer_swint_w7.py'
model = dict(
    backbone=dict(backbone=dict(model_name='swin_large_patch4_window7_224.ms_in22k')),
    neck=dict(in_channels=[64, 192, 384, 768, 1536], embedding_dim=512),
    decode_head=dict(in_channels=[64, 192, 384, 768, 1536]),
)
