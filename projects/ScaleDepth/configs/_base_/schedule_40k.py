"""The published recipe: AdamW, 40 000 iterations, polynomial decay, a tenth of the rate for the trunk.

The gradient norm is cut at 0.01. Norms of the head and of a Swin trunk do not decay; those of a ConvNeXt trunk do, as
published.
"""

max_iters = 40000
train_cfg = dict(type='ResumableIterLoop', max_iters=max_iters, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
no_decay = dict(decay_mult=0.0)
swin_norms = [
    'out_norms',
    'net.patch_embed.norm',
    *(f'net.layers_{i}.blocks.{j}.norm' for i, depth in enumerate((2, 2, 18, 2)) for j in range(depth)),
    *(f'net.layers_{i}.downsample.norm' for i in (1, 2, 3)),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'query_embed': no_decay,
            'query_feat': no_decay,
            'level_embed': no_decay,
            'relative_position_bias_table': dict(lr_mult=0.1, decay_mult=0.0),
            **{f'backbone.{name}': dict(lr_mult=0.1, decay_mult=0.0) for name in swin_norms},
        },
        norm_decay_mult=0.0,
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)
