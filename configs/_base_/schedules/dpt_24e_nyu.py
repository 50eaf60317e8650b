"""The published DPT recipe on NYU: one cycle of learning rate and beta1, 24 epochs.

24231 images an epoch in batches of 16. As in the published code, all groups have the same learning
rate, and only ``pos_embed`` and ``cls_token`` have no weight decay.
"""

max_iters = 24 * 1514
val_interval = 1514  # an epoch
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval='${val_interval}')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(pos_embed=dict(decay_mult=0.0), cls_token=dict(decay_mult=0.0))
    ),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(
        type='OneCycleRate',
        total_steps='${train_cfg.max_iters}',
        div_factor=25,
        final_div_factor=100,
    ),
    dict(
        type='OneCycleMomentum',
        total_steps='${train_cfg.max_iters}',
        base_momentum=0.85,
        max_momentum=0.95,
    ),
]
