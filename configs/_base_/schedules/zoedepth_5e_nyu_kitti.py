"""The published ZoeDepth recipe on NYU and KITTI: batches of either set in turn.

An epoch is twice the batches of the larger set. The whole decoder of relative depth learns at a
tenth of the rate.
"""

_base_ = './zoedepth_5e_nyu.py'
max_iters = 5 * 2 * (1514 + 1)
val_interval = 757
slow = dict(lr_mult=0.1)
optim_wrapper = dict(
    optimizer=dict(lr=2.512e-4),
    paramwise_cfg=dict(
        custom_keys=dict(_delete_=True, **{'backbone': slow, 'decode_head.decoder.': slow})
    ),
)
