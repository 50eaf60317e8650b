"""NeWCRFs, Swin-L, KITTI, with depth gradient refinement.

Trained with the optimal transport loss. Not trained yet.
"""

_base_ = '../newcrfs/newcrfs_swinl_22k_w7_kitti.py'
refinement = dict(type='DepthGradientRefinement', in_channels=[192, 384, 768, 1536])
# The SILog loss has a weight of 10 here, so this weight is 10 times the usual 40.
losses = [
    {{_base_.model.decode_head.loss_decode}},
    dict(type='OptimalTransportDepthLoss', loss_weight=400.0),
]
model = dict(
    neck=[refinement, {{_base_.model.neck}}],
    decode_head=dict(loss_decode=dict(_delete_=True, type='CombinedLoss', losses=losses)),
)
