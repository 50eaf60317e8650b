"""A tiny Depth Pro on synthetic rooms: no data needed, slower than the other tiny models.

Its output has 512x512 pixels: 35 windows of 8x8 patches are the least that overlap by whole
patches.
"""

_base_ = [
    '../_base_/models/depth_pro_vitl.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        model_name='vit_small_patch14_dinov2',
        pretrained=False,
        window=32,
        patch_size=4,
        hook_blocks=(1, 2),
        channels=(16, 24, 32, 48),
        decoder_channels=16,
        model_args=dict(embed_dim=48, depth=4, num_heads=3, init_values=0.1),
    ),
    decode_head=dict(
        in_channels=(16, 16, 24, 32, 48),
        fov_channels=48,
        fov_grid=8,
        channels=16,
        # Rendered labels are exact: all pixels count.
        loss_decode=dict(type='TrimmedL1Loss', trim=0.0),
    ),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
