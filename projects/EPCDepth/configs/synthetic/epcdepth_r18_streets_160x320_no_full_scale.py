"""Ablation of epcdepth_r18_streets_160x320: Monodepth2's decoder instead of the full-scale one."""

_base_ = ['./epcdepth_r18_streets_160x320.py']
model = dict(
    decode_head=dict(
        _delete_=True,
        type='MonodepthHead',
        in_channels=[64, 64, 128, 256, 512],
        output_range=(3.0, 100.0),
    )
)
