"""SD-ConvTrans, ResNet-101 and MiT-B0, KITTI Eigen split. Not trained yet.

Ours; the authors published no KITTI config.
"""

_base_ = [
    '../_base_/sdconvtrans_r101_mitb0.py',
    '../../../../configs/_base_/datasets/kitti_eigen.py',
    '../../../../configs/_base_/schedules/onecycle_24e_kitti.py',
    '../../../../configs/_base_/default_runtime.py',
]
# Steps and gradients are measured against the range: 80 m outdoors, 10 m indoors.
losses = dict(
    depth=dict(type='RMSELogLoss'),
    gradient=dict(type='SobelGradientLoss', unit='${max_depth}'),
    normal=dict(type='SobelNormalLoss', unit='${max_depth}'),
)
model = dict(
    decode_head=dict(
        min_depth='${min_depth}', max_depth='${max_depth}', base_edge=1.0, losses=losses
    )
)
# None is published; the script that theirs descends from has 16: 8 images on each of 2 devices.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=8)
