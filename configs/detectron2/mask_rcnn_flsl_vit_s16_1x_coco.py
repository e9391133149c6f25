# Reported by the paper, with mmdet: box AP 44.9, mask AP 40.8 with ViT-S/16.
from ._base_.coco_1x import dataloader, lr_multiplier, optimizer, train
from ._base_.mask_rcnn_flsl_vit import model

model.backbone.bottom_up.checkpoint = 'checkpoints/flsl_vit-s16_backbone.pth'
