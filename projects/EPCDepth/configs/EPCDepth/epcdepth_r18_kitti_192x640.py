"""EPCDepth, ResNet-18, 192x640, KITTI raw stereo, 20 epochs.

Published (output 0, flip post-processing): abs_rel 0.0998, sq_rel 0.722, rmse 4.475, d1 0.888. Not
trained yet.
"""

_base_ = [
    '../_base_/epcdepth_r18.py',
    '../_base_/kitti_stereo_192x640.py',
    '../../../../configs/_base_/default_runtime.py',
    '../_base_/adam_20e.py',
]
default_hooks = dict(checkpoint=dict(interval=5650))  # once an epoch
