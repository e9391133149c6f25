# RetinaNet with the recipe of Mask R-CNN; the paper has no such detector.
from detectron2 import model_zoo

from .mask_rcnn_flsl_vit_s16_1x_coco import dataloader, lr_multiplier, optimizer, train
from .mask_rcnn_flsl_vit_s16_1x_coco import model as _mask_rcnn

model = model_zoo.get_config('common/models/retinanet.py').model
model.backbone.bottom_up = _mask_rcnn.backbone.bottom_up
# Its maps start at stride 8: a map that nobody reads would stop distributed training.
model.backbone.bottom_up.out_indices = (5, 7, 11)
model.backbone.bottom_up.strides = (8, 16, 32)
model.backbone.in_features = ['res3', 'res4', 'res5']
model.backbone.top_block.in_channels = 384
for name in ('input_format', 'pixel_mean', 'pixel_std'):
    model[name] = _mask_rcnn[name]
dataloader.train.mapper.use_instance_mask = False
