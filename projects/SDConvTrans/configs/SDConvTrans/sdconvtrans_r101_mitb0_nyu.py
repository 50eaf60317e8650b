"""SD-ConvTrans, ResNet-101 and MiT-B0, NYU Depth v2 (24231 images). No results are published; not trained yet.

The authors published no training script: this schedule is ours.
"""

_base_ = [
    '../_base_/sdconvtrans_r101_mitb0.py',
    '../../../../configs/_base_/datasets/nyu.py',
    '../../../../configs/_base_/schedules/onecycle_24e_nyu.py',
    '../../../../configs/_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth={{_base_.min_depth}}, max_depth={{_base_.max_depth}}))
train_dataloader = dict(batch_size=8)
