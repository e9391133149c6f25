runner_type = 'FLSLRunner'
default_scope = 'mmpretrain'
# Each hook has a name, by which a config changes its options or, with None, switches it off.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='FLSLLoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='FLSLCheckpointHook', interval=5, max_keep_ckpts=3, save_last=True),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    preemption=dict(type='FLSLPreemptionHook'),
    non_finite=dict(type='FLSLNonFiniteHook', patience=5),
    # The teacher's momentum is for a batch of 512, and follows the batch.
    schedule=dict(
        type='FLSLScheduleHook',
        base_batch_size=512,
        momentum=dict(type='cosine', start=0.996, end=1.0),
        teacher_temp=dict(type='linear', start=0.04, end=0.07, epochs=30),
    ),
    freeze_last_layer=dict(type='FLSLFreezeLastLayerHook', epochs=1),
    collapse=dict(type='FLSLCollapseHook'),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='FLSLVisBackend')])
log_processor = dict(type='FLSLLogProcessor', window_size=50, by_epoch=True)
randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
