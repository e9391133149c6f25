# The backbone is frozen; the learning rate is that of the one layer that learns.
_base_ = [
    './_base_/models/linear_flsl-vit.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/adamw_40k.py',
    './_base_/runtime_40k.py',
]
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/flsl_vit-s16_backbone.pth')))
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=1e-4))
