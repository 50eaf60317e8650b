"""The published training recipe of Metric3D v2, ViT-S: 800000 iterations, 6 images per GPU.

The encoder learns at a tenth of the decoder's rate and with a tenth of its weight decay.
"""

max_iters = 800_000
val_interval = 20_000
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval='${val_interval}')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1, decay_mult=0.1))),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=500, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=1e-6, begin=0, end='${max_iters}', by_epoch=False),
]
# 6 images on each of 8 GPUs; the published config does not state the number of GPUs.
auto_scale_lr = dict(base_batch_size=48)
