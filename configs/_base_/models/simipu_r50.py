"""DenseDepth decoder on ResNet-50, the network that SimIPU's encoders were compared with; random start.

Depth is ``sigmoid(x) * max_depth``. Leaf configs bind the depth range and choose the encoder's start.
"""

_base_ = './densedepth_r50.py'
model = dict(
    backbone=dict(pretrained=False),
    decode_head=dict(scale_up=True, loss_decode=dict(loss_weight=1.0)),
)
