"""Depth Anything V2, DINOv2-S, with a prompt of points, NYU Depth v2 with 500 of them.

As in Prompting Depth Anything the whole model is trained, the encoder at a tenth of the rate. Ours:
not trained yet.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits_finetune.py',
    '../_base_/datasets/nyu_completion.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(prompt=dict(type='PromptFusion')))
train_dataloader = dict(batch_size=8)
