"""The recipe of ScaleDepth and Plane2Depth: mmdepth_40k.py with weight decay 0.05.

Norms, queries and position tables have no weight decay. As published, this includes the norms of
the head and of a Swin backbone, but not those of a ConvNeXt backbone.
"""

_base_ = './mmdepth_40k.py'
no_decay = dict(decay_mult=0.0)
swin_norms = [
    'out_norms',
    'net.patch_embed.norm',
    *(
        f'net.layers_{i}.blocks.{j}.norm'
        for i, depth in enumerate((2, 2, 18, 2))
        for j in range(depth)
    ),
    *(f'net.layers_{i}.downsample.norm' for i in (1, 2, 3)),
]
optim_wrapper = dict(
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            'query_embed': no_decay,
            'query_feat': no_decay,
            'decode_head.decoder.level_embed': no_decay,  # not the encoder's, as published
            'relative_position_bias_table': dict(lr_mult=0.1, decay_mult=0.0),
            **{f'backbone.{name}': dict(lr_mult=0.1, decay_mult=0.0) for name in swin_norms},
        },
        norm_decay_mult=0.0,
    ),
)
