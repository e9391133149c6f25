# AdamW for the small segmentors that train on two CPU cores: epochs, 50 steps of warm-up, then linearly to 0.
train_cfg = dict(type='FLSLEpochTrainLoop', max_epochs=20, val_interval=20)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='FLSLOptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=0.01),
    constructor='FLSLOptimWrapperConstructor',
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
]
