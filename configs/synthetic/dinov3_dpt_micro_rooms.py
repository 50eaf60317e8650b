"""A ViT and DPT of a fifth of the parameters of dinov3_dpt_tiny_rooms.py, on synthetic rooms."""

_base_ = './dinov3_dpt_tiny_rooms.py'
model = dict(
    backbone=dict(model_args=dict(embed_dim=48)),
    decode_head=dict(
        in_channels=(48, 48, 48, 48), post_process_channels=(8, 16, 32, 48), channels=16
    ),
)
