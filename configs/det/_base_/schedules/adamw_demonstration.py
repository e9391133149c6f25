# AdamW for the small detectors that train on two CPU cores; each config says for how long.
train_cfg = dict(type='FLSLEpochTrainLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='FLSLAmpOptimWrapper',
    dtype='float16',
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=0.05),
    constructor='FLSLOptimWrapperConstructor',
    clip_grad=dict(max_norm=1.0),
)
