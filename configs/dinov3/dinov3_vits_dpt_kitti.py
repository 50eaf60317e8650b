"""DINOv3-S with a DPT decoder, KITTI Eigen split, 24 epochs: a recipe of ours. Not trained yet.

The encoder learns at a tenth of the head's rate.
"""

_base_ = [
    '../_base_/models/dinov3_vits_dpt.py',
    '../_base_/datasets/kitti_eigen.py',
    '../_base_/schedules/slow_encoder_24e_kitti.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
train_dataloader = dict(batch_size=4)
