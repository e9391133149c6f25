# DINO's ViT-S/16 (dino_deitsmall16_pretrain.pth) on DAVIS-2017 val, with class token and position resize of its own
# program. In FLSLViT, which has no class token, the same weights give other features.
_base_ = 'flsl_vit-s16_davis2017.py'

model = dict(backbone=dict(_delete_=True, type='TimmViT', model_name='vit_small_patch16_224.dino', pos_resize='offset'))
