"""The published DPT recipe on KITTI: as dpt_24e_nyu.py, 23158 images an epoch."""

_base_ = './dpt_24e_nyu.py'
max_iters = 24 * 1447
val_interval = 1447  # an epoch
