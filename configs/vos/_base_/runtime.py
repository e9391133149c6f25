runner_type = 'FLSLRunner'
default_scope = 'mmengine'
default_hooks = dict(
    logger=dict(type='FLSLLoggerHook', interval=1),
    output=dict(type='DAVISOutputHook', images='strip'),
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(type='FLSLLogProcessor', window_size=1, by_epoch=True)
randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
