# The usual probe of frozen features: batch normalization and one linear layer on the patches after the final norm.
_base_ = './semantic-fpn_flsl-vit.py'

model = dict(
    backbone=dict(out_indices=(-1,), final_norm=True, drop_path_rate=0.0, frozen_stages=12),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='FLSLLinearHead',
        in_channels=384,
        in_index=0,
        dropout_ratio=0.0,
        num_classes=150,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
