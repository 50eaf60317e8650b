"""A tiny DINOv3-like ViT with DPT on synthetic rooms and streets: the start of depth completion.

The two configs *_prompt.py and *_early_fusion.py begin with its weights; docs/completion.md has the
results.
"""

_base_ = [
    '../_base_/models/dinov3_vits_dpt.py',
    '../_base_/datasets/synthetic_mixed.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        model_name='vit_tiny_patch16_dinov3_qkvb',
        pretrained=False,
        out_indices=(0, 1, 2, 3),
        # The layer scale of the pre-training would all but switch the blocks off at the start.
        model_args=dict(embed_dim=96, depth=4, num_heads=3, init_values=1.0),
    ),
    decode_head=dict(
        in_channels=(96, 96, 96, 96),
        post_process_channels=(16, 32, 64, 96),
        channels=32,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
