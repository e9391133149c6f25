_base_ = './fpn_flsl-vit-s16_40k_ade20k-512x512.py'
model = dict(
    backbone=dict(arch='base', init_cfg=dict(checkpoint='checkpoints/flsl_vit-b16_backbone.pth')),
    neck=[
        dict(type='FLSLViTPyramid', in_channels=768, patch_size=16),
        dict(type='FPN', in_channels=[768] * 4, out_channels=256, num_outs=4),
    ],
)
