"""The published ZoeDepth recipe on KITTI: as zoedepth_5e_nyu.py, 23158 images an epoch."""

_base_ = './zoedepth_5e_nyu.py'
max_iters = 5 * 1447
val_interval = 361
