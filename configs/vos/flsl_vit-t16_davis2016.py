# The demonstration backbone, configs/pretrain/flsl_vit-t16_scenes.py, on real videos.
_base_ = 'flsl_vit-s16_davis2016.py'

model = dict(backbone=dict(arch='tiny', img_size=128))
