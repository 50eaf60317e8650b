"""The plain decoder with depth hints and the published photometric error.

The hints of a scene are computed when it is first drawn.
"""

_base_ = ['./epcdepth_r18_plain_streets_96x320.py']
model = dict(view_loss=dict(hint_weight=1.0, ssim_weight=0.85, auto_mask=True))
train_pipeline = [
    dict(type='PairFromScene', right_prob=0.5),
    dict(type='ComputeDepthHint'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitterPair', prob=0.5),
    dict(type='PackStereoInputs'),
]
max_iters = 500
