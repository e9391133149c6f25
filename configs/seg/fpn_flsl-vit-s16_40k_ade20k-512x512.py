# Semantic FPN on ADE20K with the original's recipe.
_base_ = [
    './_base_/models/semantic-fpn_flsl-vit.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/adamw_40k.py',
    './_base_/runtime_40k.py',
]
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/flsl_vit-s16_backbone.pth')))
