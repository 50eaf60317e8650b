"""ScaleDepth on Swin-L, NYU Depth v2, 40 000 iterations.

No results are published. Ours: not trained yet. Published batch: 4 GPUs.
"""

_base_ = [
    '../_base_/trunk_swin_large.py',
    '../_base_/data_nyu_480x480.py',
    '../_base_/schedule_40k.py',
    '../../../../configs/_base_/default_runtime.py',
]
embeddings = 'data/embeddings/nyu_class_embeddings_convnext_large_d_320.pth'
model = dict(
    decode_head=dict(
        num_classes=27, class_embeddings=embeddings, loss_decode=dict(max_depth='${max_depth}')
    )
)
# Published batch: 6 images on each of 4 GPUs; the base has 6.
auto_scale_lr = dict(base_batch_size=24)
default_hooks = dict(checkpoint=dict(interval=2000, save_best='rmse'))
