"""Plane2Depth on Swin-L, NYU Depth v2, whole frames, 40 000 iterations.

No results are published with the code. Ours: not trained yet. Published batch: 4 images on each of
4 GPUs.
"""

_base_ = [
    '../_base_/plane2depth_swin_large.py',
    '../_base_/data_nyu_480x640.py',
    '../../../../configs/_base_/schedules/mmdepth_40k_free_norms.py',
    '../../../../configs/_base_/default_runtime.py',
]
# Of a 480x640 frame, with one focal length as published; samples of the data set bring their own
# camera.
default_intrinsics = [[518.8579, 0.0, 325.5824], [0.0, 518.8579, 253.7362], [0.0, 0.0, 1.0]]
model = dict(
    decode_head=dict(
        default_intrinsics=default_intrinsics,
        loss_decode=dict(max_depth='${max_depth}'),
        min_depth='${min_depth}',
        max_depth='${max_depth}',
    ),
)
# Published batch: 4 images on each of 4 GPUs; the base has 4.
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=2000, save_best='rmse'))
