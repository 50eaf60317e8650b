"""A tiny Plane2Depth on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/plane2depth_swin_large.py',
    '../../../../configs/_base_/datasets/synthetic_rooms.py',
    '../../../../configs/_base_/schedules/synthetic.py',
    '../../../../configs/_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        model_name='swin_tiny_patch4_window7_224',
        pretrained=False,
        model_args=dict(
            embed_dim=32,
            depths=(2, 2, 2, 2),
            num_heads=(1, 2, 4, 8),
            window_size=4,
            drop_path_rate=0.0,
        ),
    ),
    decode_head=dict(
        in_channels=[32, 64, 128, 256],
        channels=64,
        num_queries=32,
        decoder=dict(num_layers=3, num_heads=4, feedforward_channels=128),
        pixel_decoder=dict(num_layers=1, num_heads=4, feedforward_channels=128),
        aux_layers=(1, 2),
        normal_window=5,
        # The camera of the rooms, for an image that comes alone.
        default_intrinsics=[[108.8, 0.0, 63.5], [0.0, 108.8, 47.5], [0.0, 0.0, 1.0]],
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
