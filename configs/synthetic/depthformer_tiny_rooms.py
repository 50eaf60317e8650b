"""A tiny DepthFormer on synthetic rooms: minutes on two CPU cores, no data needed.

tools/quickstart.sh trains it.
"""

_base_ = [
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
channels = [16, 32, 64, 128, 256]
model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='DepthFormerBackbone',
        stem_channels=16,
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
    ),
    neck=dict(
        type='HAHINeck',
        in_channels=channels,
        embedding_dim=32,
        num_heads=2,
        num_points=2,
        dropout=0.0,
    ),
    decode_head=dict(
        type='DenseDepthHead',
        in_channels=channels,
        channels=16,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(type='SILogLoss'),
    ),
    test_cfg=dict(mode='whole', flip=False),
)
# One worker keeps the rendered scenes, so from the second pass on the model has both cores.
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
max_iters = 450
train_cfg = dict(val_interval=150)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=150))
