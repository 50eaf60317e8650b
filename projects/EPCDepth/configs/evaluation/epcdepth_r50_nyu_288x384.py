"""Generalisation: the KITTI model on 654 NYU images, medians aligned.

Depth, not disparity, is resized. As published, the range of the sigmoid differs from that in
training: 0.1 to 10.
"""

_base_ = ['../EPCDepth/epcdepth_r50_kitti_320x1024.py']
model = dict(
    decode_head=dict(output_range=(0.1, 10.0)),
    test_cfg=dict(resize_as='depth'),
    prediction_type='scale_invariant',
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='NYUH5Dataset',
        data_root='data/nyu_test_h5',
        test_mode=True,
        pipeline=[
            dict(type='LoadNYUH5'),
            dict(type='Resize', scale=(384, 288), resize_depth=False, interpolation='lanczos'),
            dict(type='PackDepthInputs'),
        ],
    )
)
test_evaluator = dict(type='DepthMetric', protocol='epcdepth_nyu')
