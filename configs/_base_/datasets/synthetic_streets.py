"""Synthetic streets: as synthetic_rooms.py, with street scenes up to 80 m."""

_base_ = './synthetic_rooms.py'
max_depth = 80.0
train_dataloader = dict(dataset=dict(world='streets'))
val_dataloader = dict(dataset=dict(world='streets'))
test_dataloader = dict(dataset=dict(world='streets'))
val_evaluator = dict(protocol='streets_80')
test_evaluator = dict(protocol='streets_80')
