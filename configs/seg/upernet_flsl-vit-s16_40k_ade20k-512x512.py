# UPerNet with the schedule of Semantic FPN.
_base_ = [
    './_base_/models/upernet_flsl-vit.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/adamw_40k.py',
    './_base_/runtime_40k.py',
]
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/flsl_vit-s16_backbone.pth')))
