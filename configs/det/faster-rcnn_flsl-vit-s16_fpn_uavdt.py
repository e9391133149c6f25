# Without the mask branch, which on UAVDT only sees rectangles.
_base_ = './mask-rcnn_flsl-vit-s16_fpn_uavdt.py'
model = dict(type='FasterRCNN', roi_head=dict(mask_roi_extractor=None, mask_head=None))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            *_base_.augmentation,
        ]
    )
)
