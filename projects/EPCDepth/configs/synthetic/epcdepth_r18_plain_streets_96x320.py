"""The plain decoder on synthetic streets from scratch, without ground truth in training.

Minutes on two CPU cores, no data needed. Result: see projects/EPCDepth/README.md.
"""

_base_ = [
    '../../../../configs/_base_/datasets/synthetic_streets.py',
    '../../../../configs/_base_/schedules/synthetic.py',
    '../../../../configs/_base_/default_runtime.py',
    '../_base_/epcdepth_r18.py',
]
image_size = (96, 320)  # height, width
model = dict(
    backbone=dict(model_name='resnet18', pretrained=False),
    decode_head=dict(
        _delete_=True,
        type='MonodepthHead',
        in_channels=[64, 64, 128, 256, 512],
        output_range=(3.0, 100.0),
    ),
    # On a road without texture, noise outweighs the structure, and the auto-mask drops pixels whose
    # depth is wrong. It is not needed, because all pairs are rigid.
    view_loss=dict(hint_weight=0.0, smoothness_weight=1e-3, ssim_weight=0.15, auto_mask=False),
)
train_pipeline = [
    dict(type='PairFromScene', right_prob=0.5),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitterPair', prob=0.5),
    dict(type='PackStereoInputs'),
]
# Our own recipe: 4 images in one process.
auto_scale_lr = dict(base_batch_size=4)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(num_scenes=600, stereo=True, cache=True),
)
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=30, cache=True))
test_dataloader = dict(num_workers=0, dataset=dict(num_scenes=100))
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=5e-4),
    clip_grad=dict(max_norm=10, norm_type=2),
)
max_iters = 600
train_cfg = dict(val_interval=250)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=250))
