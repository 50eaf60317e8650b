"""A tiny Depth Anything 3, metric, on synthetic rooms: minutes on two CPU cores, no data needed.

Rooms have no sky, so its layers are left out.
"""

_base_ = [
    '../_base_/models/depth_anything_3_vits.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        model_name='vit_small_patch14_dinov2',
        out_indices=(0, 1, 2, 3),
        model_args=dict(img_size=98, embed_dim=96, depth=4, num_heads=3, init_values=1.0),
    ),
    decode_head=dict(
        type='DepthAnything3MetricHead',
        in_channels=(96, 96, 96, 96),
        post_process_channels=(16, 32, 64, 96),
        channels=32,
        with_sky=False,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(type='SILogLoss'),
    ),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
