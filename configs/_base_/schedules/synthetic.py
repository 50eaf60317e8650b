"""Recipe of the synthetic data sets: AdamW, one cycle, 600 iterations; minutes on a CPU."""

max_iters = 600
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = dict(
    type='OneCycleRate', total_steps='${train_cfg.max_iters}', div_factor=10, final_div_factor=100
)
# Our own recipe: 8 images in one process.
auto_scale_lr = dict(base_batch_size=8)
