"""A tiny MoGe-2 on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/models/moge2_vitl.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        model_name='vit_small_patch14_dinov2',
        pretrained=False,
        out_indices=(0, 1, 2, 3),
        model_args=dict(img_size=112, embed_dim=96, depth=4, num_heads=3, init_values=0.1),
    ),
    decode_head=dict(
        in_channels=(96, 96, 96, 96),
        channels=(64, 32, 24, 16, 8),
        neck_blocks=(0, 1, 1, 1, 0),
        loss_decode=dict(type='MoGeLoss', align_resolution=12),
    ),
    train_cfg=dict(num_tokens_range=(40, 60)),
    test_cfg=dict(num_tokens=48),
)
# The renderer knows the normals.
train_pipeline = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs', with_normals=True),
]
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
