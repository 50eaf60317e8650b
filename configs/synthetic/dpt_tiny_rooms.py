"""A tiny DPT on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(
        type='DepthDataPreprocessor', mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
    ),
    backbone=dict(
        type='TimmBackbone',
        model_name='vit_tiny_patch16_224',
        out_indices=(0, 1, 2, 3),
        class_token=True,
        net_norm_eps=1e-5,
        pos_embed_antialias=False,
        model_args=dict(embed_dim=96, depth=4, num_heads=3),
    ),
    decode_head=dict(
        type='DPTHead',
        in_channels=(96, 96, 96, 96),
        post_process_channels=(16, 32, 64, 96),
        channels=32,
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
