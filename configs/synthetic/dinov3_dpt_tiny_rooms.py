"""A tiny DINOv3-like ViT with DPT on synthetic rooms: minutes on two CPU cores, no data needed.

Small images in small patches learn more in the same time than 96x128 in patches of 16.
"""

_base_ = [
    '../_base_/models/dinov3_vits_dpt.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
image_size = (64, 96)
model = dict(
    backbone=dict(
        model_name='vit_tiny_patch16_dinov3_qkvb',
        pretrained=False,
        out_indices=(0, 1, 2, 3),
        # The layer scale of the pre-training would all but switch the blocks off at the start.
        model_args=dict(patch_size=8, embed_dim=96, depth=4, num_heads=3, init_values=1.0),
    ),
    decode_head=dict(
        in_channels=(96, 96, 96, 96),
        post_process_channels=(16, 32, 64, 96),
        channels=24,
        patch_size=8,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(
            _delete_=True,
            type='CombinedLoss',
            losses=[
                # The scale counts as much as the shape: abs_rel compares without a fit.
                dict(type='SILogLoss', variance_focus=0.5),
                dict(type='GradientMatchingLoss', loss_weight=0.25),
            ],
        ),
    ),
)
max_iters = 1500
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=1600, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=500))
train_cfg = dict(val_interval=500)
