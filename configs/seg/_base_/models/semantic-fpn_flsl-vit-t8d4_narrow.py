# The backbone of configs/pretrain/flsl_vit-t8d4_small.py, four blocks of width 192 on patches of 8 pixels, with FPN and
# head of 64 channels: a segmentor that trains on two CPU cores.
_base_ = './semantic-fpn_flsl-vit.py'

model = dict(
    data_preprocessor=dict(size=(192, 192)),
    backbone=dict(
        arch=dict(_delete_=True, embed_dim=192, depth=4, num_heads=3),
        patch_size=8,
        img_size=96,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.0,
    ),
    neck=[
        dict(type='FLSLViTPyramid', in_channels=192, patch_size=8),
        dict(type='FPN', in_channels=[192] * 4, out_channels=64, num_outs=4),
    ],
    decode_head=dict(in_channels=[64] * 4, channels=64),
)
