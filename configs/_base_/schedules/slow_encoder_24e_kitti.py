"""Our fine-tuning of a pretrained encoder on KITTI: as slow_encoder_24e_nyu.py, 23158 images an epoch."""

_base_ = './slow_encoder_24e_nyu.py'
max_iters = 24 * 1447
train_cfg = dict(val_interval=6 * 1447)
