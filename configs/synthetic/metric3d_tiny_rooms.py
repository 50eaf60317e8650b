"""A tiny Metric3D v2 on synthetic rooms: minutes on two CPU cores, no data needed."""

_base_ = [
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs', with_normals=True),
]
model = dict(
    type='CanonicalDepthEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='ViTBackbone',
        model_name='vit_small_patch14_reg4_dinov2',
        out_indices=(3,),
        prefix_tokens=True,
        pos_embed='offset',
        model_args=dict(img_size=140, embed_dim=96, depth=4, num_heads=3),
    ),
    decode_head=dict(
        type='Metric3DHead',
        in_channels=(96,),
        feature_channels=(32, 48),
        hidden_channels=24,
        num_iters=2,
        # The camera of the rooms, for an image that comes alone.
        default_intrinsics=[[108.8, 0.0, 63.5], [0.0, 108.8, 47.5], [0.0, 0.0, 1.0]],
        num_ranges=2,
        num_rectangles=2,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
    test_cfg=dict(mode='whole', flip=False),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
