"""A ViT and DPT of 0.23 M parameters on synthetic rooms, for checks in seconds and as a student."""

_base_ = [
    '../_base_/models/dinov3_vits_dpt.py',
    '../_base_/datasets/synthetic_rooms.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        model_name='vit_tiny_patch16_dinov3_qkvb',
        pretrained=False,
        out_indices=(0, 1, 2, 3),
        # The layer scale of the pre-training would all but switch the blocks off at the start.
        model_args=dict(embed_dim=48, depth=4, num_heads=3, init_values=1.0),
    ),
    decode_head=dict(
        in_channels=(48, 48, 48, 48),
        post_process_channels=(8, 16, 32, 48),
        channels=16,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
)
train_dataloader = dict(num_workers=1, dataset=dict(num_scenes=800, cache=True))
val_dataloader = dict(num_workers=0, dataset=dict(num_scenes=40, cache=True))
test_dataloader = dict(num_workers=1, dataset=dict(num_scenes=100))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
