"""A tiny Depth Anything 3 on synthetic streets: depth up to a factor, and sky. No data needed."""

_base_ = [
    '../_base_/models/depth_anything_3_vits.py',
    '../_base_/datasets/synthetic_streets.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs', with_sky=True),
]
model = dict(
    backbone=dict(
        model_name='vit_small_patch14_dinov2',
        out_indices=(0, 1, 2, 3),
        model_args=dict(img_size=98, embed_dim=96, depth=4, num_heads=3, init_values=1.0),
    ),
    decode_head=dict(
        in_channels=(96, 96, 96, 96),
        post_process_channels=(16, 32, 64, 96),
        channels=32,
        sky_weight=1.0,
        loss_decode=dict(
            type='CombinedLoss',
            losses=[
                dict(type='SILogLoss', reduction='image'),
                dict(type='GradientMatchingLoss', loss_weight=0.5),
            ],
        ),
    ),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
val_evaluator = dict(protocol='scale_depth_lsq')
test_evaluator = dict(protocol='scale_depth_lsq')
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
