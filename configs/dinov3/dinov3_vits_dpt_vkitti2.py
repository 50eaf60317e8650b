"""DINOv3-S with a DPT decoder, Virtual KITTI 2 up to 80 m: a recipe of ours. Not trained yet.

The encoder learns at a tenth of the head's rate. Scored on Scene20, which is not trained on.
"""

_base_ = [
    '../_base_/models/dinov3_vits_dpt.py',
    '../_base_/datasets/vkitti2.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
train_dataloader = dict(batch_size=4)
