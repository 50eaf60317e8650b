"""DINOv3-S with a DPT decoder, any folder of images and depth (docs/get_started.md).

The encoder learns at a tenth of the head's rate. Set max_depth to the far end of your data.
"""

_base_ = [
    '../_base_/models/dinov3_vits_dpt.py',
    '../_base_/datasets/folder.py',
    '../_base_/schedules/slow_encoder_10k.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
train_dataloader = dict(batch_size=8)
