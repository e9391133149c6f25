# Reported by the paper: box AP 44.9, mask AP 40.8 with ViT-S/16.
_base_ = [
    './_base_/models/mask-rcnn_flsl-vit_fpn.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/adamw_1x.py',
    './_base_/runtime.py',
]
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/flsl_vit-s16_backbone.pth')))
