# The demonstration backbone, configs/pretrain/flsl_vit-t16_scenes.py, on real videos.
_base_ = 'flsl_vit-s16_davis2016.py'

model = dict(backbone=dict(arch=dict(_delete_=True, embed_dim=192, depth=4, num_heads=3), img_size=128))
