"""The published DepthFormer recipe: AdamW, 38400 iterations, cosine with linear warm-up.

The cosine runs from iteration 0, also during the warm-up.
"""

max_iters = 38400
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval=1600)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
        }
    ),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = dict(
    type='WarmupCosineLR',
    max_iters='${train_cfg.max_iters}',
    warmup_iters=12800,
    warmup_ratio=1e-3,
    min_lr_ratio=1e-8,
)
