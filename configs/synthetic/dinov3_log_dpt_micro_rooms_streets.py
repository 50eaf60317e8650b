"""A small ViT with DPT and log depth on rooms and streets, without a depth range of its own.

docs/camera_scale.md compares it with dinov3_dpt_micro_rooms_streets.py.
"""

_base_ = './dinov3_dpt_micro_rooms_streets.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='LogDepthHead',
        in_channels=(48, 48, 48, 48),
        post_process_channels=(8, 16, 32, 48),
        channels=16,
        patch_size=16,
        align_corners=False,
        loss_decode=dict(type='SILogLoss'),
    )
)
