"""A tiny BinsFormer on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/models/binsformer_swint_w7.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
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
        num_bins=32,
        num_classes=0,
        num_layers=3,
        level_order='%',
        num_heads=4,
        encoder=dict(num_layers=1, feedforward_channels=128, attn_dropout=0.0, ffn_dropout=0.0),
        feedforward_channels=128,
        aux_layers=(0, 1),
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
    test_cfg=dict(flip=False),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
