"""Test epcdepth_r18_kitti_320x1024 on the 652 Eigen images that have the depth benchmark's ground truth."""

_base_ = ['../EPCDepth/epcdepth_r18_kitti_320x1024.py']
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale=(1024, 320), resize_depth=False, interpolation='lanczos'),
    dict(type='PackDepthInputs'),
]
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='KITTIDataset',
        data_root='data/kitti',
        ann_file='kitti_eigen_test.txt',
        data_prefix=dict(img_path='input', depth_path='gt_depth'),
        min_depth={{_base_.min_depth}},
        max_depth={{_base_.max_depth}},
        test_mode=True,
        pipeline=test_pipeline,
    )
)
test_evaluator = dict(type='DepthMetric', protocol='epcdepth_improved')
