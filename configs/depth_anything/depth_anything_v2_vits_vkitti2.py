"""Depth Anything V2, DINOv2-S, metric up to 80 m, Virtual KITTI 2: the published fine-tuning.

As on Hypersim: 120 epochs of 19 559 images. That list was not published with the code, here they
are drawn from the left camera of all scenes (21 260). It starts from the encoder of the relative
model, is validated on KITTI: --cfg-options load_from=depth_anything_v2_vits.pth
Ours: not trained yet.
"""

_base_ = './depth_anything_v2_vits_hypersim.py'
max_depth = 80.0
dataset_type = 'VirtualKITTI2Dataset'
data_root = 'data/vkitti2'
max_iters, val_interval = 120 * 612, 612
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='${dataset_type}',
        data_root='${data_root}',
        scenes=('Scene01', 'Scene02', 'Scene06', 'Scene18', 'Scene20'),
        cameras=(0,),
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        pipeline='${train_pipeline}',
    ),
)
kitti = dict(
    _delete_=True,
    type='KITTIDataset',
    data_root='data/kitti',
    ann_file='kitti_eigen_test.txt',
    data_prefix=dict(img_path='input', depth_path='gt_depth'),
    test_mode=True,
    pipeline='${test_pipeline}',
)
test_dataloader = dict(dataset=kitti)
val_dataloader = dict(dataset=kitti)
test_evaluator = dict(protocol='depth_anything_v2_kitti_80')
val_evaluator = dict(protocol='depth_anything_v2_kitti_80')
