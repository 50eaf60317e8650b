"""A tiny SimIPU network (ResNet-10, randomly initialised) on synthetic rooms.

Minutes on two CPU cores, no data needed.
"""

_base_ = [
    '../_base_/models/simipu_r50.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(model_name='resnet10t'),
    decode_head=dict(
        in_channels=[64, 64, 128, 256, 512],
        up_sample_channels=[16, 16, 32, 64, 128],
        channels=16,
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
