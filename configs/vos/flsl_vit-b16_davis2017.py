_base_ = 'flsl_vit-s16_davis2017.py'

model = dict(backbone=dict(arch='base'))
