"""The published ZoeDepth recipe on NYU: AdamW, one cycle, 5 epochs of 24231 images.

Batches of 16. The rate is flat for 70 % of the iterations and falls to 1e-4 of itself after that.
The transformer and what resizes its maps learn at a tenth of the rate. Four validations an epoch.
"""

max_iters = 5 * 1514
val_interval = 378
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval='${val_interval}')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
slow = dict(lr_mult=0.1)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.61e-4, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': slow,
            'decode_head.decoder.readouts': slow,
            'decode_head.decoder.pyramid': slow,
        }
    ),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(
        type='OneCycleRate',
        total_steps='${train_cfg.max_iters}',
        pct_start=0.7,
        div_factor=1,
        final_div_factor=10000,
    ),
    dict(
        type='OneCycleMomentum',
        total_steps='${train_cfg.max_iters}',
        pct_start=0.7,
        base_momentum=0.85,
        max_momentum=0.95,
    ),
]
