"""DPT on ViT-B/16, pre-trained on ImageNet-21k and -1k. Leaf configs bind the depth range."""

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(
        type='DepthDataPreprocessor', mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
    ),
    backbone=dict(
        type='TimmBackbone',
        model_name='vit_base_patch16_224.orig_in21k_ft_in1k',
        pretrained=True,
        out_indices=(2, 5, 8, 11),
        class_token=True,
        net_norm_eps=1e-5,
        pos_embed_antialias=False,
    ),
    decode_head=dict(
        type='DPTHead',
        in_channels=(768, 768, 768, 768),
        post_process_channels=(96, 192, 384, 768),
        channels=256,
        readout='project',
        align_corners=False,
        loss_decode=dict(type='SILogLoss', loss_weight=1.0, warm_up=True, warm_iter=100),
    ),
    test_cfg=dict(mode='whole', flip=True),
)
