"""Base of the mmdepth recipes: AdamW, 40 000 iterations, polynomial decay.

The backbone has a tenth of the learning rate.
"""

max_iters = 40000
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = dict(
    type='PolyLR', power=0.9, eta_min=0.0, begin=0, end='${train_cfg.max_iters}', by_epoch=False
)
