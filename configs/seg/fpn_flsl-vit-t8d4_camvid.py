# Semantic FPN on CamVid in minutes of two CPU cores. Starts from random weights; from a pretrained backbone with
#   --cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=PATH_backbone.pth
_base_ = [
    './_base_/models/semantic-fpn_flsl-vit-t8d4_narrow.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/adamw_demonstration.py',
    './_base_/runtime.py',
]
model = dict(decode_head=dict(num_classes=11))
default_hooks = dict(checkpoint=dict(interval=5))
