# AdamW, 12 epochs, lr divided by 10 after epochs 8 and 11; lr 5e-5 is for 8 images per step and follows the batch.
train_cfg = dict(type='FLSLEpochTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='FLSLAmpOptimWrapper',
    # Not bfloat16: mmdet casts boxes to the type of the feature maps, and its 8 bits of mantissa move a corner at
    # pixel 1000 by up to 2 pixels. mmcv's compiled RoIAlign does not take it either.
    dtype='float16',
    optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), weight_decay=0.05),
    # No decay on norms and positions; biases decay, as in the original recipe. No layer-wise decay.
    constructor='FLSLOptimWrapperConstructor',
    paramwise_cfg=dict(decay_bias=True),
)
auto_scale_lr = dict(enable=True, base_batch_size=8)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
