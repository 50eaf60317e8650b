"""The published recipe: Adam, 20 epochs of 45200 images in batches of 8.

The learning rate falls to a tenth after 15 epochs.
"""

epoch = 5650
max_iters = 20 * epoch
train_cfg = dict(type='ResumableIterLoop', max_iters='${max_iters}', val_interval=epoch)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = dict(type='MultiStepLR', milestones=[15 * epoch], gamma=0.1)
# 8 images on one GPU.
auto_scale_lr = dict(base_batch_size=8)
