# A linear layer on the frozen backbone, on CamVid, in minutes of two CPU cores; weights as in fpn_flsl-vit-t8d4_camvid.
_base_ = [
    './_base_/models/linear_flsl-vit.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/adamw_demonstration.py',
    './_base_/runtime.py',
]

model = dict(
    data_preprocessor=dict(size=(256, 320)),  # as tests pad the images
    backbone=dict(
        arch=dict(_delete_=True, embed_dim=192, depth=4, num_heads=3), patch_size=8, img_size=96, frozen_stages=4
    ),
    decode_head=dict(in_channels=192, num_classes=11),
)
# Whole images, as in the tests: crops change what the features of a frozen backbone say of the place in the image.
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='FLSLLoadSegmentation'),
            dict(type='Resize', scale=(320, 240), keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ]
    )
)
optim_wrapper = dict(optimizer=dict(lr=1e-2, weight_decay=1e-4))
default_hooks = dict(checkpoint=dict(interval=5))
