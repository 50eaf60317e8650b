"""A tiny ZoeDepth of two domains: batches of synthetic rooms and of streets in turn."""

_base_ = [
    '../_base_/datasets/synthetic_mixed.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
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
        type='ZoeDepthDomainsHead',
        domains=dict(synthetic_rooms=10.0, synthetic_streets=80.0),
        in_channels=(96, 96, 96, 96),
        pyramid_channels=(16, 32, 64, 96),
        channels=32,
        num_bins=16,
        embed_channels=32,
        hidden_channels=32,
        seed_channels=32,
        with_relative_depth=False,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(type='SILogLoss', loss_weight=10.0, eps=1e-7),
        loss_domain=dict(type='SceneClassLoss', loss_weight=10.0),
    ),
    train_cfg=dict(network_size='${network_size}'),
    test_cfg=dict(flip=False, network_size='${network_size}'),
)
train_dataloader = dict(
    sampler=dict(type='AlternatingSetSampler'),
    dataset=dict(weights=None, one_set_a_batch=True),
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
