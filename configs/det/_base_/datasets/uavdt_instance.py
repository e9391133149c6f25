# UAVDT under data/uavdt, or under the folder that the environment variable UAVDT_ROOT names, converted by
#   flsl-mm uavdt2coco data/uavdt --out data/uavdt/annotations
data_root = '{{$UAVDT_ROOT:data/uavdt}}'
dataset_type = 'FLSLCocoDataset'
metainfo = dict(classes=('car', 'truck', 'bus'))

# Sizes and crops as for COCO: 1024x540 becomes up to 1333x703, the vehicles a third larger.
short_sides = [(side, 1333) for side in range(480, 801, 32)]
load_annotations = dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False)
augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='RandomChoiceResize', scales=short_sides, keep_ratio=True)],
            [
                dict(type='RandomChoiceResize', scales=[(400, 1333), (500, 1333), (600, 1333)], keep_ratio=True),
                dict(type='RandomCrop', crop_type='absolute_range', crop_size=(384, 600), allow_negative_crop=True),
                dict(type='RandomChoiceResize', scales=short_sides, keep_ratio=True),
            ],
        ],
    ),
    dict(type='FLSLExtendIgnoreRegions'),
    dict(type='PackDetInputs'),
]
train_pipeline = [dict(type='LoadImageFromFile'), load_annotations, *augmentation]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type=dataset_type, data_root=data_root, data_prefix=dict(img=''), metainfo=metainfo)
train_dataloader = dict(
    batch_size=2,  # a process; the recipe's 8 images per step are 4 processes
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_train.json',
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, ann_file='annotations/instances_test.json', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='UAVDTMetric', ann_file=data_root + '/annotations/instances_test.json')
test_evaluator = val_evaluator
