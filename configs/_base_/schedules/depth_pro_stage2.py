"""Second stage of Depth Pro's training (table 16): 100 epochs of 72 000 images in batches of 128.

A warm-up of 1 % of the iterations, a constant rate for 80 %, a tenth of it at the end. The encoder
learns at a tenth of the decoder's rate.

Reference: https://arxiv.org/abs/2410.02073
"""

max_iters = 56250
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval=5625)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1.28e-4, betas=(0.9, 0.999)),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=0.2, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=562, by_epoch=False),
    dict(type='MultiStepLR', milestones=[45562], gamma=0.1, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=128)
