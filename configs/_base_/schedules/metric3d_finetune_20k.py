"""The published fine-tuning recipe of Metric3D v2 (KITTI L, NYU giant2): 20000 iterations.

No weight decay; the encoder learns at a twentieth of the decoder's rate.
"""

max_iters = 20_000
val_interval = 4000
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval='${val_interval}')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-5, betas=(0.9, 0.999), eps=1e-10, weight_decay=0.0),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.05))),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=20, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=1e-8, begin=0, end='${max_iters}', by_epoch=False),
]
# 2 images on each of 8 GPUs; the published config does not state the number of GPUs.
auto_scale_lr = dict(base_batch_size=16)
