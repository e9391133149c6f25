# ViT-B/16; the mean-shift scales follow the width.
_base_ = 'flsl_vit-s16.py'

model = dict(
    backbone=dict(arch='base'),
    head=dict(in_channels=768),
    self_scale=0.1 / 768**0.5,
    cross_scale=0.2 / 768**0.5,
)
