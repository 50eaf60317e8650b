"""Hooks, logging and environment of every run."""

default_scope = 'depth'
runner_type = 'DepthRunner'
custom_hooks = [
    dict(type='FiniteWatchHook'),
    dict(type='LearningWatchHook'),
    dict(type='DepthBiasInitHook', depth='data'),
    dict(type='TerminationHook'),
    dict(type='ProtocolHook'),
]
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1600,
        max_keep_ckpts=2,
        save_best='abs_rel',
        rule='less',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DepthVisualizationHook', num_images=4),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(
    type='Visualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=False)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False
