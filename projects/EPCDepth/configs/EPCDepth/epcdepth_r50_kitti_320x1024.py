"""EPCDepth, ResNet-50, 320x1024, KITTI raw stereo, 20 epochs.

Published (output 0, flip post-processing): abs_rel 0.0905, sq_rel 0.646, rmse 4.207, d1 0.901. Not
trained yet.
"""

_base_ = [
    '../_base_/epcdepth_r50.py',
    '../_base_/kitti_stereo_320x1024.py',
    '../../../../configs/_base_/default_runtime.py',
    '../_base_/adam_20e.py',
]
default_hooks = dict(checkpoint=dict(interval=5650))  # once an epoch
