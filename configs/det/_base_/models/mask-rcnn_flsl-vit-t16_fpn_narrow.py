# ViT-T/16 of 4 blocks, FPN and heads of 64 channels, 64 regions an image: a detector that trains on two CPU cores. The
# position table is that of the demonstration's pretraining (8x8), resized to each image's grid.
_base_ = './mask-rcnn_flsl-vit_fpn.py'

width = 64
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dim=192, depth=4, num_heads=3),
        img_size=128,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.0,
    ),
    neck=[
        dict(type='FLSLViTPyramid', in_channels=192, patch_size=16),
        dict(type='FPN', in_channels=[192] * 4, out_channels=width, num_outs=5),
    ],
    rpn_head=dict(in_channels=width, feat_channels=width),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width),
        bbox_head=dict(in_channels=width, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=width),
        mask_head=dict(num_convs=2, in_channels=width, conv_out_channels=width),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(max_per_img=20),
    ),
)
