"""Depth Anything 3, DINOv2-L, depth up to a factor, NYU Depth v2: our own fine-tuning.

The encoder learns at a tenth of the decoder's rate; the layers of the sky keep their weights. It
starts from timm's DINOv2, or from all of a published file: --cfg-options
load_from=DA3MONO-LARGE.safetensors. Scores need a protocol that fits the factor. Ours: not trained
yet.
"""

_base_ = [
    '../_base_/models/depth_anything_3_mono_vitl_finetune.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
crop_size = (420, 560)  # whole patches of 14 pixels
train_dataloader = dict(batch_size=4)
val_evaluator = dict(protocol='scale_depth_lsq_10')
test_evaluator = dict(protocol='scale_depth_lsq_10')
