"""Ablation of epcdepth_r18_kitti_192x640: Monodepth2's decoder with four outputs.

The full-scale decoder is left out. Not trained yet.
"""

_base_ = ['../EPCDepth/epcdepth_r18_kitti_192x640.py']
model = dict(
    decode_head=dict(
        _delete_=True,
        type='MonodepthHead',
        in_channels=[64, 64, 128, 256, 512],
        output_range=(0.54, 540.0),
    )
)
