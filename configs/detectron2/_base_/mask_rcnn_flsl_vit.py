# Mask R-CNN on ViT-S/16: maps after blocks 3, 5, 7, 11 without final norm -> strides 4, 8, 16, 32 -> FPN-256.
from detectron2 import model_zoo
from detectron2.config import LazyCall as L

from flsl_mm.detectron2 import FLSLBackbone

model = model_zoo.get_config('common/models/mask_rcnn_fpn.py').model
model.backbone.bottom_up = L(FLSLBackbone)(
    arch='small',
    patch_size=16,
    checkpoint='',
    out_indices=(3, 5, 7, 11),
    strides=(4, 8, 16, 32),
    drop_path_rate=0.05,
    with_cp=False,
)
model.backbone.in_features = ['res2', 'res3', 'res4', 'res5']
# What the backbone was trained on; detectron2's own is BGR.
model.input_format = 'RGB'
model.pixel_mean = [123.675, 116.28, 103.53]
model.pixel_std = [58.395, 57.12, 57.375]
