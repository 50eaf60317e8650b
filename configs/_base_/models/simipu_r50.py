"""DenseDepth decoder on ResNet-50, randomly initialised.

SimIPU compares its pre-trained encoders in this network. Depth is ``sigmoid(x) * max_depth``. Leaf
configs bind the depth range and choose the encoder's weights.
"""

_base_ = './densedepth_r50.py'
model = dict(
    backbone=dict(pretrained=False),
    decode_head=dict(scale_up=True, loss_decode=dict(loss_weight=1.0)),
)
