"""Depth Anything 3 with DINOv2-L, depth up to a factor, for trainings of ours at the data's own size.

The encoder starts from timm's DINOv2; load_from takes all of a published file. The weight of the
gradients is that of the paper (equation 7); in place of its aligned point and normal losses, depth
is compared in log space after a fit of the factor of each image.
"""

_base_ = './depth_anything_3_metric_vitl_finetune.py'
model = dict(
    decode_head=dict(
        type='DepthAnything3Head',
        loss_decode=dict(
            _delete_=True,
            type='CombinedLoss',
            losses=[
                dict(type='SILogLoss', reduction='image'),
                dict(type='GradientMatchingLoss', loss_weight=0.5),
            ],
        ),
    )
)
