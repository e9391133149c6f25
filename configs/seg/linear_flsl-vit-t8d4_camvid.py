# A linear layer on the frozen backbone, on CamVid, in minutes of two CPU cores; weights as in fpn_flsl-vit-t8d4_camvid.
_base_ = './fpn_flsl-vit-t8d4_camvid.py'

model = dict(
    backbone=dict(out_indices=(-1,), final_norm=True, frozen_stages=4),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='FLSLLinearHead',
        in_channels=192,
        in_index=0,
        dropout_ratio=0.0,
        num_classes=11,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1e-2, weight_decay=1e-4))
