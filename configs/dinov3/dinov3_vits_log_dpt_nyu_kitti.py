"""DINOv3-S with DPT and log depth in a canonical camera, NYU and KITTI together: ours, not trained yet.

Two cameras, 519 and 721 pixels, and two ranges, 10 and 80 m, in one model without a range of its
own. The encoder learns at a tenth of the head's rate.
"""

_base_ = [
    '../_base_/models/dinov3_vits_dpt.py',
    '../_base_/datasets/nyu_kitti_mixed.py',
    '../_base_/schedules/slow_encoder_24e_nyu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    canonical_camera=dict(focal=600.0),
    decode_head=dict(
        type='LogDepthHead',
        # Depth of both ranges counts by its ratio.
        loss_decode=dict(type='SILogLoss', reduction='image'),
    ),
)
train_dataloader = dict(batch_size=4, dataset=dict(weights=[1, 1]))
