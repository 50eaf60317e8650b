"""DINOv3-L with a DPT decoder, KITTI Eigen split, 24 epochs: a recipe of ours. Not trained yet."""

_base_ = ['./dinov3_vits_dpt_kitti.py']
model = dict(
    backbone=dict(model_name='vit_large_patch16_dinov3.lvd1689m', out_indices=(4, 11, 17, 23)),
    decode_head=dict(
        in_channels=(1024, 1024, 1024, 1024),
        post_process_channels=(256, 512, 1024, 1024),
        channels=256,
    ),
)
