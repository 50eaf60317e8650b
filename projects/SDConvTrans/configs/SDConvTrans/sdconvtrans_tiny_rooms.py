"""A tiny SD-ConvTrans on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/sdconvtrans_r101_mitb0.py',
    '../../../../configs/_base_/datasets/synthetic_rooms.py',
    '../../../../configs/_base_/schedules/synthetic.py',
    '../../../../configs/_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        conv=dict(model_name='resnet18', pretrained=False),
        transformer=dict(
            model_args=dict(embed_dims=(8, 16, 32, 64), num_heads=(1, 2, 4, 8), drop_path_rate=0.0)
        ),
    ),
    decode_head=dict(
        pyramid_channels=32,
        channels=16,
        base_radius=5,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
max_iters = 450
train_cfg = dict(val_interval=150)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=150))
