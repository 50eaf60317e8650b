"""The tiny DepthFormer with depth gradient refinement and the optimal transport loss."""

_base_ = './depthformer_tiny_rooms_dgr.py'
losses = [{{_base_.model.decode_head.loss_decode}}, dict(type='OptimalTransportDepthLoss')]
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='CombinedLoss', losses=losses)))
