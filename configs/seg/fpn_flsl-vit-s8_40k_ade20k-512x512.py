_base_ = './fpn_flsl-vit-s16_40k_ade20k-512x512.py'
model = dict(
    backbone=dict(patch_size=8, init_cfg=dict(checkpoint='checkpoints/flsl_vit-s8_backbone.pth')),
    neck=[
        dict(type='FLSLViTPyramid', in_channels=384, patch_size=8),
        dict(type='FPN', in_channels=[384] * 4, out_channels=256, num_outs=4),
    ],
)
