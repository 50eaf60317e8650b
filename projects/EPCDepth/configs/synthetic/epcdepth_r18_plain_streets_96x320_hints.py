"""The same with depth hints, which are computed when a scene is first drawn."""

_base_ = ['./epcdepth_r18_plain_streets_96x320.py']
model = dict(view_loss=dict(hint_weight=1.0))
train_pipeline = [
    dict(type='PairFromScene', right_prob=0.5),
    dict(type='ComputeDepthHint'),
    dict(type='RandomFlipPair', prob=0.5),
    dict(type='ColorJitterPair', prob=0.5),
    dict(type='PackStereoInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
