"""The micro DPT, distilled from the tiny one while it trains on true depth (docs/finetune.md)."""

_base_ = './dinov3_dpt_micro_rooms.py'
teacher = 'work_dirs/dinov3_dpt_tiny_rooms/iter_1500.pth'
custom_hooks = [
    dict(type='FiniteWatchHook'),
    dict(type='LearningWatchHook'),
    dict(type='DepthBiasInitHook', depth='data'),
    dict(type='TerminationHook'),
    dict(type='ProtocolHook'),
    dict(type='DistillationHook', checkpoint='${teacher}'),
]
