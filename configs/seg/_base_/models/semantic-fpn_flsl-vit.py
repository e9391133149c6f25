# Semantic FPN on ViT-S/16: maps after blocks 2, 5, 8, 11 without final norm -> strides 4, 8, 16, 32 -> FPN-256 -> 128.
# The original config leaves the pyramid out, so that all its maps have stride 16 while its head assumes 4 to 32.
custom_imports = dict(imports=['flsl_mm', 'flsl_mm.segmentation'], allow_failed_imports=False)

num_classes = 150
norm_cfg = dict(type='BN', requires_grad=True)  # synchronized among several GPUs, see sync_bn in runtime.py
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
        test_cfg=dict(size_divisor=32),  # whole patches; the padding is cut off the prediction
    ),
    backbone=dict(
        type='FLSLViT',
        arch='small',
        patch_size=16,
        out_indices=(2, 5, 8, 11),
        final_norm=False,
        drop_path_rate=0.1,
    ),
    neck=[
        dict(type='FLSLViTPyramid', in_channels=384, patch_size=16),
        dict(type='FPN', in_channels=[384] * 4, out_channels=256, num_outs=4),
    ],
    decode_head=dict(
        type='FPNHead',
        in_channels=[256] * 4,
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=128,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
