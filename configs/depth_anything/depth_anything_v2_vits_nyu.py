"""Depth Anything V2, DINOv2-S, metric, NYU Depth v2: our own fine-tuning at the data set's size.

The encoder learns at a tenth of the decoder's rate. It starts from timm's DINOv2, or from a file of
Depth Anything V2: --cfg-options load_from=depth_anything_v2_vits.pth takes its encoder;
load_published.parts=[] takes all of a metric file. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits_finetune.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
crop_size = (420, 560)  # whole patches of 14 pixels
train_dataloader = dict(batch_size=4)
