"""ConvNeXt-L, pre-trained on ImageNet-22k, one LayerNorm on each output."""

_base_ = './scaledepth_head.py'
model = dict(
    backbone=dict(
        type='TimmBackbone',
        model_name='convnext_large.fb_in22k',
        pretrained=True,
        out_norm='LN',
        norm_eps=1e-6,
        model_args=dict(drop_path_rate=0.4),
    ),
)
