# Reported by the paper, with mmdet: box AP 46.5, mask AP 42.1 with ViT-S/8. Four times as many tokens as with patch
# size 16, so activations are recomputed in the backward pass.
from .mask_rcnn_flsl_vit_s16_1x_coco import dataloader, lr_multiplier, model, optimizer, train

model.backbone.bottom_up.patch_size = 8
model.backbone.bottom_up.with_cp = True
model.backbone.bottom_up.checkpoint = 'checkpoints/flsl_vit-s8_backbone.pth'
