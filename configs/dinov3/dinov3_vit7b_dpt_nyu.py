"""DINOv3-7B with a DPT decoder, NYU Depth v2, 24 epochs: a recipe of ours. Not trained yet.

The model does not fit one GPU in training: it is meant for several, with ``--strategy fsdp2``
(docs/scale.md).
"""

_base_ = ['./dinov3_vits_dpt_nyu.py']
model = dict(
    backbone=dict(model_name='vit_7b_patch16_dinov3.lvd1689m', out_indices=(9, 19, 29, 39)),
    decode_head=dict(
        in_channels=(4096, 4096, 4096, 4096),
        post_process_channels=(512, 1024, 2048, 2048),
        channels=512,
    ),
)
train_dataloader = dict(batch_size=1)
strategy = dict(type='fsdp2', param_dtype='bfloat16', recompute_blocks=True, checkpoint='sharded')
# The checkpoint of 101 GB is written while the training goes on.
default_hooks = dict(checkpoint=dict(asynchronous=True))
