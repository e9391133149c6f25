# Needs no download: procedural clips as a UAVDT tree under data/uavdt_scenes (or under the folder that the environment
# variable UAVDT_SCENES_ROOT names), written and converted by
#   flsl-mm make-scenes data/uavdt_scenes --layout uavdt
#   flsl-mm uavdt2coco data/uavdt_scenes --out data/uavdt_scenes/annotations
# Starts from random weights; to start from a pretrained backbone add
#   --cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=PATH_backbone.pth
_base_ = [
    './_base_/models/mask-rcnn_flsl-vit-t16_fpn_narrow.py',
    './_base_/models/uavdt_detector.py',
    './_base_/datasets/uavdt_instance.py',
    './_base_/schedules/adamw_demonstration.py',
    './_base_/runtime.py',
]
custom_imports = dict(imports=['flsl_mm', 'flsl_mm.detection', 'flsl_mm.uavdt'], allow_failed_imports=False)
data_root = '{{$UAVDT_SCENES_ROOT:data/uavdt_scenes}}'
model = _base_.uavdt_detector
model.test_cfg.rcnn.max_per_img = 100

image_scale = (288, 160)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        pipeline=[
            dict(type='LoadImageFromFile'),
            _base_.load_annotations,
            dict(type='Resize', scale=image_scale, keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='FLSLExtendIgnoreRegions'),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=image_scale, keep_ratio=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + '/annotations/instances_test.json')
test_evaluator = val_evaluator

# 180 sequences of 4 frames, 180 steps per epoch.
train_cfg = dict(max_epochs=4, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=4, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=4))
