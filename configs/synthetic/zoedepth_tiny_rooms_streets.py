"""A tiny ZoeDepth of two domains: batches of synthetic rooms and of streets in turn."""

_base_ = [
    '../_base_/models/zoedepth_tiny.py',
    '../_base_/datasets/synthetic_mixed.py',
    '../_base_/schedules/synthetic.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(
        type='ZoeDepthDomainsHead',
        domains=dict(synthetic_rooms=10.0, synthetic_streets=80.0),
        with_relative_depth=False,
        loss_domain=dict(type='SceneClassLoss', loss_weight=10.0),
    )
)
train_dataloader = dict(
    sampler=dict(type='AlternatingSetSampler'),
    dataset=dict(weights=None, one_set_a_batch=True),
)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
train_cfg = dict(val_interval=300)
