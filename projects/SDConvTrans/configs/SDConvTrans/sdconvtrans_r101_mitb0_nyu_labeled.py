"""SD-ConvTrans, ResNet-101 and MiT-B0, NYU Depth v2, official split.

Not trained yet. 795 training and 654 test images. The published data set draws from the same 795
images; the schedule is ours.
"""

_base_ = [
    '../_base_/sdconvtrans_r101_mitb0.py',
    '../../../../configs/_base_/datasets/nyu_labeled.py',
    '../../../../configs/_base_/schedules/onecycle_24e_nyu.py',
    '../../../../configs/_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# None is published; the script that theirs descends from has 16: 8 images on each of 2 devices.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=8)
max_iters = 200 * 50  # 200 epochs of 795 images in batches of 16, on two devices
train_cfg = dict(val_interval=25 * 50)
# Also under the authors' own protocol: no crop, no cap, natural logarithms under the name log10.
val_evaluator = dict(protocols=['sdconvtrans_full'])
test_evaluator = val_evaluator
