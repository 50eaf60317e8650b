"""ScaleDepth-K: CLIP ConvNeXt-L, KITTI Eigen split, 40 000 iterations, no scene classes.

No results are published. Ours: not trained yet. Published batch: 4 GPUs.
"""

_base_ = [
    '../_base_/trunk_clip.py',
    '../_base_/data_kitti_352x1120.py',
    '../_base_/schedule_40k.py',
    '../../../../configs/_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=0))
# Published batch: 4 images on each of 4 GPUs; the base has 4.
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=2000, save_best='abs_rel'))
