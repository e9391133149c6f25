# Mask R-CNN on ViT-S/16: maps after blocks 3, 5, 7, 11 without final norm -> strides 4, 8, 16, 32 -> FPN-256.
# The original config gives ViT-S/16 eight heads, while the weights were pretrained with six: shapes agree, attention
# does not. Here it has six.
custom_imports = dict(imports=['flsl_mm', 'flsl_mm.detection'], allow_failed_imports=False)

num_classes = 80
feature_strides = [4, 8, 16, 32]
box_coder = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4)
roi_extractor = dict(type='SingleRoIExtractor', out_channels=256, featmap_strides=feature_strides)
box_assigner = dict(type='MaxIoUAssigner', ignore_iof_thr=-1)
proposal_nms = dict(type='nms', iou_threshold=0.7)

model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='FLSLViT',
        arch='small',
        patch_size=16,
        out_indices=(3, 5, 7, 11),
        final_norm=False,
        drop_path_rate=0.05,
    ),
    neck=[
        dict(type='FLSLViTPyramid', in_channels=384, patch_size=16),
        dict(type='FPN', in_channels=[384] * 4, out_channels=256, num_outs=5),
    ],
    rpn_head=dict(
        type='RPNHead',
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[*feature_strides, 64]
        ),
        bbox_coder=dict(**box_coder, target_stds=[1.0] * 4),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    ),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(**roi_extractor, roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0)),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            num_classes=num_classes,
            bbox_coder=dict(**box_coder, target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_class_agnostic=False,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0),
        ),
        mask_roi_extractor=dict(**roi_extractor, roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0)),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=num_classes,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(**box_assigner, pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=2000, max_per_img=1000, nms=proposal_nms, min_bbox_size=0),
        rcnn=dict(
            assigner=dict(**box_assigner, pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=True),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            mask_size=28,
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=proposal_nms, min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100, mask_thr_binary=0.5),
    ),
)
