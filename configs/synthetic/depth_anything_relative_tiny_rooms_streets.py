"""A tiny relative Depth Anything on synthetic rooms and streets: minutes on two CPU cores, no data.

It predicts inverse depth up to a factor and an offset, so that rooms of 10 m and streets of 80 m
train one output. Both are scored after a fit of factor and offset of each image.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits.py',
    '../_base_/datasets/synthetic_mixed.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(float_images=False),
    backbone=dict(
        model_name='vit_small_patch14_dinov2',
        out_indices=(0, 1, 2, 3),
        # The layer scale of the pre-training would all but switch the blocks off at the start.
        model_args=dict(img_size=98, embed_dim=96, depth=4, num_heads=3, init_values=1.0),
    ),
    decode_head=dict(
        type='DepthAnythingRelativeHead',
        in_channels=(96, 96, 96, 96),
        post_process_channels=(16, 32, 64, 96),
        channels=32,
        # Rendered labels have no errors, so nothing is trimmed.
        loss_decode=dict(type='ScaleShiftInvariantLoss', form='robust', trim=0.0),
    ),
)
protocols = dict(synthetic_rooms='midas_disparity_lsq', synthetic_streets='midas_disparity_lsq')
val_evaluator = dict(protocols=protocols)
test_evaluator = dict(protocols=protocols)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
