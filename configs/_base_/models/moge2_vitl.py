"""MoGe-2 on DINOv2 ViT-L/14. The network takes images of any size."""

model = dict(
    type='MoGeEstimator',
    data_preprocessor=dict(type='DepthDataPreprocessor'),
    backbone=dict(
        type='ViTBackbone',
        model_name='vit_large_patch14_dinov2',
        pretrained=True,
        out_indices=(5, 11, 17, 23),
        final_norm=True,
        prefix_tokens=True,
        pos_embed='offset',
    ),
    decode_head=dict(
        type='MoGeHead',
        in_channels=(1024, 1024, 1024, 1024),
        channels=(1024, 256, 128, 64, 32),
        neck_blocks=(0, 2, 2, 2, 0),
        head_blocks=(0, 1, 1, 1, 0),
        # The finest patches, of level 64, are for rendered labels.
        loss_decode=dict(type='MoGeLoss', patch_levels=(4, 16)),
    ),
    train_cfg=dict(num_tokens_range=(1200, 3600)),
    test_cfg=dict(num_tokens=3600, use_camera=True),
)
