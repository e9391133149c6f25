# AdamW, 300 epochs. lr 5e-4 is for a batch of 256, and follows the batch.
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
