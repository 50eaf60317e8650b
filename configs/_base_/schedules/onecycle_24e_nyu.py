"""The published "24x" recipe on NYU: AdamW, one cycle, 24 epochs of 24231 images.

Batches of 16.
"""

max_iters = 24 * 1514
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval=6 * 1514)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.95, 0.99), weight_decay=0.01),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = dict(
    type='OneCycleRate', total_steps='${train_cfg.max_iters}', div_factor=25, final_div_factor=100
)
