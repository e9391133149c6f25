# Instance segmentation of real video frames at half resolution, on two CPU cores: trains on the first 20 frames of
# every clip and evaluates on the last 5. The data root (data/davis2016, or the environment variable DAVIS_ROOT) holds
# instances_object.json in COCO's format and the frames that it names.
_base_ = [
    './_base_/models/mask-rcnn_flsl-vit-t16_fpn_narrow.py',
    './_base_/schedules/adamw_demonstration.py',
    './_base_/runtime.py',
]
data_root = '{{$DAVIS_ROOT:data/davis2016}}'
metainfo = dict(classes=('object',))
num_classes = 1
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=num_classes), mask_head=dict(num_classes=num_classes)),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=(427, 240), ratio_range=(0.8, 1.1), keep_ratio=True),
    dict(type='PackDetInputs'),
]
# Without an annotation file of its own CocoMetric takes the truth from the items: `instances`.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(427, 240), keep_ratio=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]
dataset = dict(
    type='FLSLCocoDataset',
    data_root=data_root,
    ann_file='instances_object.json',
    data_prefix=dict(img=''),
    metainfo=metainfo,
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, frames=(None, 20), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, frames=(-5, None), pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='FLSLCocoMetric', metric=['bbox', 'segm'])
test_evaluator = val_evaluator

# 40 images, 20 steps per epoch.
train_cfg = dict(max_epochs=25, val_interval=25)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=25, milestones=[19, 23], gamma=0.1),
]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=25))
