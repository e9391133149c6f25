# ViT-B/16; the head and the mean shift follow the width.
_base_ = 'flsl_vit-s16.py'

model = dict(backbone=dict(arch='base'))
