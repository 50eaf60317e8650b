"""Our fine-tuning of a pretrained encoder on any data: 10k iterations of 8 images in one process.

The rates are those of slow_encoder_24e_nyu.py, the encoder at a tenth of the head's.
"""

_base_ = './slow_encoder_24e_nyu.py'
max_iters = 10000
train_cfg = dict(val_interval=1000)
auto_scale_lr = dict(base_batch_size=8)
