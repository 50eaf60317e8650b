"""Depth Pro on three ViT-L, Hypersim: the losses of the paper's second stage, which sharpens edges.

Rendered labels alone, so all pixels count. Start from published weights (load_from) or from the
first stage. Steps and rates are ours, and so is the weight 1 of each loss. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_pro_vitl.py',
    '../_base_/datasets/hypersim.py',
    '../_base_/schedules/foundation_finetune_20k.py',
    '../_base_/default_runtime.py',
]
gradient = dict(type='MultiScaleDerivativeLoss', operator='scharr', power=1)
laplace = dict(type='MultiScaleDerivativeLoss', operator='laplace', power=1)
squared_gradient = dict(type='MultiScaleDerivativeLoss', operator='scharr', power=2)
model = dict(
    decode_head=dict(
        loss_decode=dict(
            _delete_=True,
            type='CombinedLoss',
            losses=[dict(type='TrimmedL1Loss'), gradient, laplace, squared_gradient],
        )
    )
)
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(batch_size=1)
default_hooks = dict(checkpoint=dict(interval=2000))
load_published = dict(method='depth_pro')
