"""ZoeDepth of ZoeD-NK on BEiT-B: a size of ours, not trained yet."""

_base_ = './zoedepth_nk_beitl.py'
model = dict(
    backbone=dict(
        model_name='beit_base_patch16_384.in22k_ft_in22k_in1k', out_indices=(2, 5, 8, 11)
    ),
    decode_head=dict(in_channels=(768, 768, 768, 768), pyramid_channels=(96, 192, 384, 768)),
)
