"""The model of ScaleDepth-NK for tests on other data sets."""

_base_ = ['./trunk_clip.py', '../../../../configs/_base_/default_runtime.py']
model = dict(
    decode_head=dict(num_classes=28),
    test_cfg=dict(mode='slide', crop_size=(352, 512), stride=(160, 160), flip=True),
)
test_cfg = dict(type='TestLoop')
# Of the training of ScaleDepth-NK, which is not repeated here.
auto_scale_lr = dict(base_batch_size=32)
