"""SD-ConvTrans, ResNet-101 and MiT-B0, NYU Depth v2, 24231 training images.

Not trained yet. 654 official test images. The authors published neither results nor a training
script: this schedule is ours.
"""

_base_ = [
    '../_base_/sdconvtrans_r101_mitb0.py',
    '../../../../configs/_base_/datasets/nyu.py',
    '../../../../configs/_base_/schedules/onecycle_24e_nyu.py',
    '../../../../configs/_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# None is published; the script that theirs descends from has 16: 8 images on each of 2 devices.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=8)
# Also under the authors' own protocol: no crop, no cap, natural logarithms under the name log10.
val_evaluator = dict(protocols=['sdconvtrans_full'])
test_evaluator = val_evaluator
