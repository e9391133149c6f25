# ViT-S/8: 6,240 patches a frame at 480x832. The window is 12 patches, so 96 pixels instead of 192.
_base_ = 'flsl_vit-s16_davis2017.py'

model = dict(backbone=dict(patch_size=8))
