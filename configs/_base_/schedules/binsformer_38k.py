"""The published BinsFormer recipe: AdamW under one cycle, 38400 iterations."""

_base_ = './adamw_38k_cosine.py'
param_scheduler = dict(
    _delete_=True,
    type='OneCycleRate',
    total_steps='${train_cfg.max_iters}',
    div_factor=25,
    final_div_factor=100,
)
