"""Plane2Depth on Swin-L, KITTI Eigen split, 352x1120 crops, 40 000 iterations.

Ours; the authors published no KITTI config. Not trained yet. Ground truth is sparse, so planes are
fitted to it in larger windows.
"""

_base_ = [
    '../_base_/plane2depth_swin_large.py',
    '../_base_/data_kitti_352x1120.py',
    '../../../../configs/_base_/schedules/mmdepth_40k_free_norms.py',
    '../../../../configs/_base_/default_runtime.py',
]
# Of a whole frame of most drives, and the same after the KB crop, which is what the network sees.
default_intrinsics = [[721.5377, 0.0, 609.5593], [0.0, 721.5377, 172.854], [0.0, 0.0, 1.0]]
cropped_intrinsics = [[721.5377, 0.0, 596.5593], [0.0, 721.5377, 149.854], [0.0, 0.0, 1.0]]
model = dict(
    decode_head=dict(
        default_intrinsics=cropped_intrinsics,
        normal_window=15,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
)
# None is published; as the NYU config: 4 images on each of 4 GPUs, the base has 4.
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=2000))
