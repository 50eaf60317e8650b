"""Depth Anything V2, DINOv2-S, metric up to 20 m, Hypersim: the published fine-tuning, 120 epochs.

It starts from the encoder of the relative model: --cfg-options load_from=depth_anything_v2_vits.pth
Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits.py',
    '../_base_/datasets/hypersim.py',
    '../_base_/schedules/depth_anything_v2_metric.py',
    '../_base_/default_runtime.py',
]
max_depth = 20.0
input_size, crop_size = 518, (518, 518)
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
train_dataloader = dict(batch_size=4)
test_dataloader = dict(dataset=dict(split='val'))
val_dataloader = dict(dataset=dict(split='val'))
test_evaluator = dict(protocol='depth_anything_v2_hypersim_20')
val_evaluator = dict(protocol='depth_anything_v2_hypersim_20')
load_published = dict(method='depth_anything_v2', parts=['backbone.'])
default_hooks = dict(checkpoint=dict(interval='${val_interval}'))
