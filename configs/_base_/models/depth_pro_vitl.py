"""Depth Pro on three DINOv2 ViT-L, changed to patches of 16 and windows of 384 pixels."""

model = dict(
    type='DepthProEstimator',
    data_preprocessor=dict(
        type='DepthDataPreprocessor', mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
    ),
    backbone=dict(
        type='DepthProEncoder',
        model_name='vit_large_patch14_dinov2',
        pretrained=True,
        window=384,
        patch_size=16,
        hook_blocks=(5, 11),
        channels=(256, 512, 1024, 1024),
        decoder_channels=256,
    ),
    decode_head=dict(
        type='DepthProHead',
        in_channels=(256, 256, 512, 1024, 1024),
        fov_channels=1024,
        fov_grid=24,
        channels=256,
        loss_decode=dict(type='TrimmedL1Loss', trim=0.2),
    ),
    test_cfg=dict(use_camera=True),
)
