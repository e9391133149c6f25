# A demonstration without download: the backbone of configs/pretrain/flsl_vit-t16_scenes.py on 4 generated videos of
# 25 frames, 432x240, with several objects that leave, return and come later.
_base_ = ['_base_/label_propagation.py', '_base_/davis2017.py', '_base_/runtime.py']

model = dict(backbone=dict(arch=dict(_delete_=True, embed_dim=192, depth=4, num_heads=3), img_size=128))
test_dataloader = dict(
    dataset=dict(type='DAVISScenes', data_root='data/scenes_davis', num=10, frames=25, short_side=240)
)
