# Needs no download: procedural scenes of six classes, written on first use to data/scenes_coco, or to the folder that
# the environment variable SCENES_ROOT names. Starts from random weights; to start from a pretrained backbone add
#   --cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=PATH_backbone.pth
_base_ = [
    './_base_/models/mask-rcnn_flsl-vit-t16_fpn_narrow.py',
    './_base_/schedules/adamw_demonstration.py',
    './_base_/runtime.py',
]
data_root = '{{$SCENES_ROOT:data/scenes_coco}}'
num_classes = 6
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=num_classes), mask_head=dict(num_classes=num_classes)),
)

dataset = dict(type='FLSLScenesCoco', data_root=data_root, num=1000, val_fraction=0.2, size_hw=(192, 192))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        split='train',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        split='val',
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(192, 192), keep_ratio=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='FLSLCocoMetric', ann_file=data_root + '/annotations/instances_val.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator

# 800 images, 200 steps per epoch.
train_cfg = dict(max_epochs=6, val_interval=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=6, milestones=[4, 5], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=6))
