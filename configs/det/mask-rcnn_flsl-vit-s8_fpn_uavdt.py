# Four times as many tokens as patch size 16: activations are recomputed in the backward pass.
_base_ = './mask-rcnn_flsl-vit-s16_fpn_uavdt.py'
model = dict(
    backbone=dict(patch_size=8, with_cp=True, init_cfg=dict(checkpoint='checkpoints/flsl_vit-s8_backbone.pth')),
    neck=[
        dict(type='FLSLViTPyramid', in_channels=384, patch_size=8),
        dict(type='FPN', in_channels=[384] * 4, out_channels=256, num_outs=5),
    ],
)
