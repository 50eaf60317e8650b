"""Depth Pro on three ViT-L, Hypersim: the second stage of the paper's training, which sharpens edges.

Losses, optimizer and schedule are those of the paper (tables 16 and 17) on one of its nine rendered
data sets; labels are exact, so all pixels count. The weights of the losses were not published: each
has 1. Start from published weights (load_from) or from a first stage. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_pro_vitl.py',
    '../_base_/datasets/hypersim.py',
    '../_base_/schedules/depth_pro_stage2.py',
    '../_base_/default_runtime.py',
]
model = dict(
    # As published, the LayerNorms keep the values of the pre-training.
    backbone=dict(freeze=[r'\.norm\d?\.']),
    decode_head=dict(
        loss_decode=dict(
            _delete_=True,
            type='CombinedLoss',
            losses=[
                dict(type='TrimmedL1Loss'),
                dict(type='SquaredErrorLoss'),
                dict(type='MultiScaleDerivativeLoss', operator='scharr', power=1),
                dict(type='MultiScaleDerivativeLoss', operator='laplace', power=1),
                dict(type='MultiScaleDerivativeLoss', operator='scharr', power=2),
            ],
        )
    ),
)
train_dataloader = dict(batch_size=1)
default_hooks = dict(checkpoint=dict(interval=5625))
load_published = dict(method='depth_pro')
