"""The published AdaBins recipe on NYU: one cycle of learning rate and beta1, 24 epochs.

Batches of 16. Head and backbone have the same learning rate, as in the published code.
"""

_base_ = './onecycle_24e_nyu.py'
optim_wrapper = dict(optimizer=dict(lr=3.57e-4, weight_decay=0.1), clip_grad=dict(max_norm=0.1))
param_scheduler = [
    dict(
        type='OneCycleRate',
        total_steps='${train_cfg.max_iters}',
        div_factor=25,
        final_div_factor=100,
    ),
    dict(
        type='OneCycleMomentum',
        total_steps='${train_cfg.max_iters}',
        base_momentum=0.85,
        max_momentum=0.95,
    ),
]
