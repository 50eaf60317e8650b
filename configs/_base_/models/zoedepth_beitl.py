"""ZoeDepth on BEiT-L at 384x512, pre-trained on ImageNet. Leaf configs bind the depth range."""

network_size = (384, 512)  # height, width of the network's input
model = dict(
    type='ZoeDepthEstimator',
    data_preprocessor=dict(
        type='DepthDataPreprocessor', mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
    ),
    backbone=dict(
        type='ViTBackbone',
        model_name='beit_large_patch16_384.in22k_ft_in22k_in1k',
        pretrained=True,
        out_indices=(5, 11, 17, 23),
        final_norm=False,
        prefix_tokens=True,
    ),
    decode_head=dict(
        type='ZoeDepthHead',
        in_channels=(1024, 1024, 1024, 1024),
        pyramid_channels=(256, 512, 1024, 1024),
        loss_decode=dict(type='SILogLoss', loss_weight=10.0, eps=1e-7),
    ),
    train_cfg=dict(network_size='${network_size}'),
    # The published evaluation. The published inference on images has keep_ratio=True,
    # pad_input=True and depth_resize='bicubic'.
    test_cfg=dict(
        mode='whole',
        flip=True,
        network_size='${network_size}',
        keep_ratio=False,
        pad_input=False,
        depth_resize='bilinear',
    ),
)
# Trainings start from a file of MiDaS (load_from=dpt_beit_large_384.pt), as published, or from the
# same part of one of ZoeDepth; parts=[] takes all of the latter.
load_published = dict(method='zoedepth', parts=['backbone.', 'decode_head.decoder.'])
