# AdamW, 300 epochs. lr 5e-4 is for a batch of 256, the teacher's momentum for a batch of 512; both follow the batch.
train_cfg = dict(type='FLSLEpochTrainLoop', max_epochs=300)
optim_wrapper = dict(
    type='FLSLAmpOptimWrapper',
    constructor='FLSLOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.04, fused=True),
    clip_grad=dict(max_norm=3.0),  # each parameter tensor by its own norm
)
auto_scale_lr = dict(enable=True, base_batch_size=256)
param_scheduler = [
    dict(type='FLSLWarmupCosineLR', warmup_ratio=0.1, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True),
    dict(type='mmpretrain.CosineAnnealingWeightDecay', eta_min=0.4, by_epoch=True, convert_to_iter_based=True),
]
custom_hooks = [
    dict(
        type='FLSLScheduleHook',
        base_batch_size=512,
        momentum=dict(type='cosine', start=0.996, end=1.0),
        teacher_temp=dict(type='linear', start=0.04, end=0.07, epochs=30),
    ),
    dict(type='FLSLFreezeLastLayerHook', epochs=1),
    dict(type='FLSLReseedHook'),
    dict(type='FLSLReportHook'),
    dict(type='FLSLBackboneExportHook'),
]
