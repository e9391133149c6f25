# Needs no download: procedural scenes of six classes and the background, written on first use to
# data/scenes_segmentation, or to the folder that the environment variable SCENES_SEGMENTATION_ROOT names.
_base_ = './fpn_flsl-vit-t8d4_camvid.py'

data_root = '{{$SCENES_SEGMENTATION_ROOT:data/scenes_segmentation}}'
scenes = dict(type='FLSLScenesSegmentation', data_root=data_root, num=400)
model = dict(decode_head=dict(num_classes=7))
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **scenes,
        split='train',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='FLSLLoadSegmentation'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **scenes,
        split='val',
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='FLSLLoadSegmentation'),
            dict(type='PackSegInputs'),
        ],
    )
)
test_dataloader = val_dataloader

# Ten minutes of one core.
train_cfg = dict(max_epochs=8, val_interval=8)
default_hooks = dict(checkpoint=dict(interval=4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=True, begin=0, end=8, convert_to_iter_based=True),
]
