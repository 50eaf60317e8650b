"""Depth Anything V2, DINOv2-S, metric up to 80 m, Virtual KITTI 2: the published fine-tuning.

120 epochs of 19 559 images; that list was not published with the code, here they are drawn from the
left camera of all scenes (21 260). It starts from the encoder of the relative model, is validated
on KITTI: --cfg-options load_from=depth_anything_v2_vits.pth
Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits.py',
    '../_base_/datasets/vkitti2.py',
    '../_base_/schedules/depth_anything_v2_metric.py',
    '../_base_/default_runtime.py',
]
input_size, crop_size = 518, (518, 518)
max_iters, val_interval = 120 * 612, 612
model = dict(
    decode_head=dict(
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(type='SILogLoss', variance_focus=0.5, eps=0.0, unbiased=False),
    )
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='ResizeShortSide', size='${input_size}'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size='${crop_size}'),
    dict(type='PackDepthInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='ResizeShortSide', size='${input_size}', resize_depth=False),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(scenes=('Scene01', 'Scene02', 'Scene06', 'Scene18', 'Scene20'), cameras=(0,)),
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
load_published = dict(method='depth_anything_v2', parts=['backbone.'])
default_hooks = dict(checkpoint=dict(interval='${val_interval}'))
