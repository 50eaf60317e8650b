"""Ablation of epcdepth_r18_kitti_192x640: monodepth2's decoder, four outputs, no full scale. Not trained yet."""

_base_ = ['../EPCDepth/epcdepth_r18_kitti_192x640.py']
model = dict(
    decode_head=dict(
        _delete_=True, type='MonodepthHead', in_channels=[64, 64, 128, 256, 512], output_range=(0.54, 540.0)
    )
)
