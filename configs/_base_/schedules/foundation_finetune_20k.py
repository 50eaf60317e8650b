"""Fine-tuning of a foundation model: 20k iterations, the encoder at a tenth of the head's rate."""

max_iters = 20000
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = dict(
    type='OneCycleRate', total_steps='${train_cfg.max_iters}', div_factor=10, final_div_factor=100
)
