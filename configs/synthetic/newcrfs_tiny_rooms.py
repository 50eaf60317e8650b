"""A tiny NeWCRFs on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
channels = [32, 64, 128, 256]
model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='TimmBackbone',
        model_name='swin_tiny_patch4_window7_224',
        out_norm='LN',
        model_args=dict(
            embed_dim=32,
            depths=(2, 2, 2, 2),
            num_heads=(1, 2, 4, 8),
            window_size=4,
            drop_path_rate=0.0,
        ),
    ),
    neck=dict(type='PyramidPoolingNeck', in_channels=channels, channels=64, num_groups=32),
    decode_head=dict(
        type='NeWCRFsHead',
        in_channels=[*channels, 64],
        crf_dims=(16, 32, 64, 128),
        num_heads=(1, 2, 4, 8),
        window_size=4,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(type='SILogLoss'),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
