# ViT-S/8: 28x28 tokens on the global view, 12x12 on local ones; otherwise the recipe of ViT-S/16.
_base_ = 'flsl_vit-s16.py'

model = dict(backbone=dict(patch_size=8))
train_dataloader = dict(batch_size=32)  # 4 times the tokens; lr and teacher momentum follow the batch
