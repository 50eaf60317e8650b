"""Full EPCDepth on synthetic streets from scratch: full scale, grafting, distillation, hints.

Its residual U-blocks need 160 rows. Result: see projects/EPCDepth/README.md.
"""

_base_ = ['./epcdepth_r18_plain_streets_96x320_hints.py']
image_size = (160, 320)  # height, width
model = dict(
    decode_head=dict(
        _delete_=True,
        type='FullScaleHead',
        in_channels=[64, 64, 128, 256, 512],
        output_range=(3.0, 100.0),
    )
)
max_iters = 540
train_cfg = dict(val_interval=540)
default_hooks = dict(checkpoint=dict(interval=90))
