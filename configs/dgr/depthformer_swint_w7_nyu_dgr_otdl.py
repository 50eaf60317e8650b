"""DepthFormer, Swin-T, NYU, with depth gradient refinement.

Trained with the optimal transport loss. Not trained yet.
"""

_base_ = '../depthformer/depthformer_swint_w7_nyu.py'
refinement = dict(
    type='DepthGradientRefinement', in_channels=[64, 96, 192, 384, 768], start_level=1
)
losses = [{{_base_.model.decode_head.loss_decode}}, dict(type='OptimalTransportDepthLoss')]
model = dict(
    neck=[refinement, {{_base_.model.neck}}],
    decode_head=dict(loss_decode=dict(_delete_=True, type='CombinedLoss', losses=losses)),
)
