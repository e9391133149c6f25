# CamVid under data/camvid, or where the environment variable CAMVID_ROOT says: images/{train,val}/*.jpg,
# annotations/{train,val}/*.png with the class numbers of FLSLCamVidDataset, 11 for pixels without a label. 480x360 is
# read at two thirds; predictions are scored at the full size of the masks.
data_root = '{{$CAMVID_ROOT:data/camvid}}'
dataset_type = 'FLSLCamVidDataset'
crop_size = (192, 192)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='FLSLLoadSegmentation'),
    dict(type='RandomResize', scale=(320, 240), ratio_range=(0.85, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.9),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(320, 240), keep_ratio=True),
    dict(type='FLSLLoadSegmentation'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split='val', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
