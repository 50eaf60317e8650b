"""The tiny DepthFormer on synthetic rooms with depth gradient refinement."""

_base_ = './depthformer_tiny_rooms.py'
refinement = dict(type='DepthGradientRefinement', in_channels=[16, 32, 64, 128, 256], start_level=1)
model = dict(neck=[refinement, {{_base_.model.neck}}])
