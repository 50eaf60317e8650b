"""AdaBins, ResNet-50, NYU Depth v2, 24 epochs with the "24x" recipe.

Published result: abs_rel 0.141, rmse 0.451, d1 0.833 (flip averaged). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/adabins_efnetb5ap.py',
    '../_base_/datasets/nyu.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/onecycle_24e_nyu.py',
]
model = dict(
    backbone=dict(model_name='resnet50.tv_in1k', last_conv=False),
    decode_head=dict(
        in_channels=[64, 256, 512, 1024, 2048], min_depth='${min_depth}', max_depth='${max_depth}'
    ),
)
# The published rate is for a batch of 16: 8 images on each of 2 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=8)
train_cfg = dict(val_interval=1514)  # each epoch
