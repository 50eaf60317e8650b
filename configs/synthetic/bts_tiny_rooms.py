"""A tiny BTS on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/models/bts_r50.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(model_name='resnet10t', pretrained=False),
    decode_head=dict(
        in_channels=[64, 64, 128, 256, 512],
        num_features=64,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
    test_cfg=dict(flip=False),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
