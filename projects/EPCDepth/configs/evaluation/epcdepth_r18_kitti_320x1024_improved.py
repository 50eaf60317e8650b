"""Test epcdepth_r18_kitti_320x1024 on 652 Eigen images.

They are those with the ground truth of the depth benchmark.
"""

_base_ = ['../EPCDepth/epcdepth_r18_kitti_320x1024.py']
improved_root = 'data/kitti'
improved_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='Resize', scale='${size}', resize_depth=False, interpolation='lanczos'),
    dict(type='PackDepthInputs'),
]
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='KITTIDataset',
        data_root='${improved_root}',
        ann_file='kitti_eigen_test.txt',
        data_prefix=dict(img_path='input', depth_path='gt_depth'),
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${improved_pipeline}',
    )
)
test_evaluator = dict(type='DepthMetric', protocol='epcdepth_improved')
