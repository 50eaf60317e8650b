"""Our fine-tuning of a pretrained encoder on NYU: it learns at a tenth of the head's rate.

24 epochs of 24231 images in batches of 16 (4 images on each of 4 GPUs), one cycle.
"""

_base_ = './onecycle_24e_nyu.py'
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, betas=(0.9, 0.999)),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=1.0),
)
auto_scale_lr = dict(base_batch_size=16)
