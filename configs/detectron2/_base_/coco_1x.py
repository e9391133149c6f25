# COCO 2017 under datasets/coco, or in a folder `coco` under the one that detectron2's DETECTRON2_DATASETS names, for 12
# epochs; lr divided by 10 after epochs 8 and 11. lr 5e-5 is for 8 images per step: it does not follow total_batch_size.
import detectron2.data.transforms as T
import torch
from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from detectron2.solver.build import get_default_optimizer_params
from fvcore.common.param_scheduler import MultiStepParamScheduler

from .runtime import train

dataloader = model_zoo.get_config('common/data/coco.py').dataloader
dataloader.train.total_batch_size = 8
dataloader.train.mapper.image_format = 'RGB'
# The augmentation of DETR, with the sizes of Swin: resize, or resize, crop and resize.
dataloader.train.mapper.augmentations = [
    L(T.RandomFlip)(horizontal=True),
    L(T.RandomApply)(
        tfm_or_aug=L(T.AugmentationList)(
            augs=[
                L(T.ResizeShortestEdge)(short_edge_length=(400, 500, 600), sample_style='choice', max_size=1333),
                L(T.RandomCrop)(crop_type='absolute_range', crop_size=(384, 600)),
            ]
        ),
        prob=0.5,
    ),
    L(T.ResizeShortestEdge)(short_edge_length=tuple(range(480, 801, 32)), sample_style='choice', max_size=1333),
]

epoch = 14659  # steps: 117,266 images with annotations, 8 a step
train.max_iter = 12 * epoch
train.eval_period = epoch
train.checkpointer = dict(period=epoch, max_to_keep=2)
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[8 * epoch, 11 * epoch], num_updates=train.max_iter
    ),
    warmup_length=1000 / train.max_iter,
    warmup_factor=0.001,
)
# No decay on norms and positions; biases decay, as in the original recipe. No layer-wise decay.
optimizer = L(torch.optim.AdamW)(
    params=L(get_default_optimizer_params)(
        base_lr='${..lr}', weight_decay_norm=0.0, overrides=dict(pos_embed=dict(weight_decay=0.0))
    ),
    lr=5e-5,
    betas=(0.9, 0.999),
    weight_decay=0.05,
)
