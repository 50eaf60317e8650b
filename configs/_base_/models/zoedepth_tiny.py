"""ZoeDepth on a randomly initialised BEiT of four blocks at 96x128. Leaf configs bind the depth range."""

network_size = (96, 128)  # height, width
model = dict(
    type='ZoeDepthEstimator',
    data_preprocessor=dict(
        type='DepthDataPreprocessor', mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
    ),
    backbone=dict(
        type='ViTBackbone',
        model_name='beit_base_patch16_224',
        out_indices=(0, 1, 2, 3),
        final_norm=False,
        prefix_tokens=True,
        model_args=dict(img_size='${network_size}', embed_dim=96, depth=4, num_heads=3),
    ),
    decode_head=dict(
        type='ZoeDepthHead',
        in_channels=(96, 96, 96, 96),
        pyramid_channels=(16, 32, 64, 96),
        channels=32,
        num_bins=16,
        embed_channels=32,
        hidden_channels=32,
        seed_channels=32,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(type='SILogLoss', loss_weight=10.0, eps=1e-7),
    ),
    train_cfg=dict(network_size='${network_size}'),
    test_cfg=dict(flip=False, network_size='${network_size}'),
)
