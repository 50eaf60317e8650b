"""ScaleDepth-NK: CLIP ConvNeXt-L, NYU Depth v2 and KITTI together, 40 000 iterations.

Tested with sliding windows. Published log: NYU abs_rel 0.083, rmse 0.293, d1 0.940; KITTI abs_rel
0.049, rmse 2.009, d1 0.978 (4 GPUs of 8 images). Ours: not trained yet.
"""

_base_ = [
    '../_base_/trunk_clip.py',
    '../_base_/data_nyu_kitti_352x512.py',
    '../_base_/schedule_40k.py',
    '../../../../configs/_base_/default_runtime.py',
]
embeddings = 'data/embeddings/nyu_kitti_class_embeddings_convnext_large_d_320.pth'
model = dict(
    decode_head=dict(num_classes=28, class_embeddings=embeddings),
    test_cfg=dict(mode='slide', crop_size='${crop_size}', stride=(160, 160), flip=True),
)
# Published batch: 8 images on each of 4 GPUs; the base has 8.
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=2000, save_best='rmse'))
