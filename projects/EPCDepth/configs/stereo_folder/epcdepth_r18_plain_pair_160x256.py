"""The plain decoder overfits one real stereo pair, to check training on real images.

A minute or two on a CPU. Set ``data_root`` to a stereo folder (see StereoFolderDataset);
``indices`` picks a pair with ground truth. Result: see projects/EPCDepth/README.md.
"""

_base_ = [
    '../../../../configs/_base_/schedules/synthetic.py',
    '../../../../configs/_base_/default_runtime.py',
    '../_base_/epcdepth_r18.py',
]
min_depth, max_depth = 1e-3, 80.0
model = dict(
    backbone=dict(model_name='resnet18', pretrained=False),
    decode_head=dict(
        _delete_=True,
        type='MonodepthHead',
        in_channels=[64, 64, 128, 256, 512],
        output_range=(1.0, 20.0),
    ),
    # No auto-mask: if the principal points differ, a pixel that does not move has a finite depth.
    view_loss=dict(hint_weight=0.0, smoothness_weight=1e-3, auto_mask=False),
    # No grafting: the batch holds one image only, so there is no other image to take rows from.
    train_cfg=dict(graft=False),
)
data_root = 'data/stereo'
pair = dict(
    type='StereoFolderDataset',
    data_root='${data_root}',
    indices=[0],
    min_depth='${min_depth}',
    max_depth='${max_depth}',
)
resize = dict(type='Resize', scale=(256, 160), resize_depth=False, interpolation='lanczos')
# Our own recipe: one pair.
auto_scale_lr = dict(base_batch_size=1)
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    dataset=dict(**pair, pipeline=[dict(type='LoadPair'), resize, dict(type='PackStereoInputs')]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **pair,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadStereoDepth'),
            resize,
            dict(type='PackDepthInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='DepthMetric', protocol='folder', max_depth='${max_depth}')
test_evaluator = val_evaluator
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
max_iters = 200
train_cfg = dict(val_interval=50)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=200))
log_processor = dict(window_size=10)
