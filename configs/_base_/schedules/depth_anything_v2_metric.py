"""The published recipe of the metric models of Depth Anything V2: AdamW, polynomial decay.

120 epochs in batches of 32 (4 images on each of 8 GPUs), no warm-up, no clipping of gradients. Leaf
configs set the number of iterations. The encoder learns at a tenth of the decoder's rate. The
published rate is set after each step, so the first two iterations have the base rate.
"""

max_iters = 120 * 1861  # Hypersim
val_interval = 1861  # an epoch
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval='${val_interval}')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
param_scheduler = dict(
    type='PolyLR', power=0.9, eta_min=0.0, begin=1, end='${max_iters}', by_epoch=False
)
auto_scale_lr = dict(base_batch_size=32)
