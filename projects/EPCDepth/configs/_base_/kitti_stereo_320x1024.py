"""KITTI raw stereo, split of the self-supervised methods, training pipeline at 320x1024."""

_base_ = './kitti_stereo_192x640.py'
size = (1024, 320)  # width, height
