runner_type = 'FLSLRunner'
default_scope = 'mmdet'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='FLSLLoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='FLSLCheckpointHook', interval=1, max_keep_ckpts=2),
    preemption=dict(type='FLSLPreemptionHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
    non_finite=dict(type='FLSLNonFiniteHook'),
    # One clear line before the run where strides or the number of classes do not fit.
    check=dict(type='FLSLDetectionCheckHook'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='FLSLVisBackend')], name='visualizer')
log_processor = dict(type='FLSLLogProcessor', window_size=50, by_epoch=True)
randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
