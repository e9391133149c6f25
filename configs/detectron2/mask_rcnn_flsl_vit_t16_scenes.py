# Needs no download: procedural scenes of six classes, written on first use to data/scenes_coco, or to the folder that
# the environment variable SCENES_ROOT names. Detector, data and schedule of
# configs/det/mask-rcnn_flsl-vit-t16_fpn_scenes.py. Starts from random weights; to start from a pretrained backbone add
#   model.backbone.bottom_up.checkpoint=PATH_backbone.pth
import os

import detectron2.data.transforms as T
from detectron2 import model_zoo
from detectron2.config import LazyCall as L

from flsl_mm.detectron2 import scenes

from ._base_.coco_1x import lr_multiplier, optimizer
from ._base_.mask_rcnn_flsl_vit import model
from ._base_.runtime import train

# The position table is that of the demonstration's pretraining (8x8), resized to each image's grid.
model.backbone.bottom_up.update(
    arch=dict(embed_dim=192, depth=4, num_heads=3), img_size=128, out_indices=(0, 1, 2, 3), drop_path_rate=0.0
)
# FPN and heads of 64 channels, 64 regions an image.
width = 64
model.backbone.out_channels = width
model.proposal_generator.update(pre_nms_topk=(200, 200), post_nms_topk=(100, 100))
model.proposal_generator.head.in_channels = width
model.roi_heads.update(num_classes=6, batch_size_per_image=64)
model.roi_heads.box_head.update(fc_dims=[256, 256])
model.roi_heads.box_head.input_shape.channels = width
model.roi_heads.box_predictor.update(test_topk_per_image=20)
model.roi_heads.box_predictor.input_shape.channels = 256
model.roi_heads.mask_head.update(conv_dims=[width] * 3)
model.roi_heads.mask_head.input_shape.channels = width

root = os.environ.get('SCENES_ROOT', 'data/scenes_coco')
dataloader = model_zoo.get_config('common/data/coco.py').dataloader
dataloader.train.dataset = L(scenes)(root=root, split='train')
dataloader.train.mapper.update(
    augmentations=[L(T.RandomFlip)(horizontal=True)], image_format='RGB', instance_mask_format='bitmask'
)
dataloader.train.update(total_batch_size=4, num_workers=0)
dataloader.test.dataset = L(scenes)(root=root, split='val')
dataloader.test.mapper.augmentations = []
dataloader.test.num_workers = 0
dataloader.evaluator.dataset_name = 'flsl_scenes_val'

# 6 epochs of 800 images, 200 steps each.
train.max_iter = 1200
train.eval_period = 0
train.checkpointer = dict(period=1200, max_to_keep=2)
train.max_grad_norm = 1.0
lr_multiplier.warmup_length = 100 / train.max_iter
lr_multiplier.warmup_factor = 0.01
lr_multiplier.scheduler.update(milestones=[800, 1000], num_updates=train.max_iter)
optimizer.lr = 4e-4
optimizer.params.weight_decay_bias = 0.0
