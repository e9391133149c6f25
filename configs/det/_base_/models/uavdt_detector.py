# What UAVDT asks of a Mask R-CNN here: small anchors, many detections, and training that leaves ignore regions out. Not
# a model but changes to one; a config takes them over with `model = _base_.uavdt_detector`.
uavdt_detector = dict(
    # Anchors with sides of 16 to 256 pixels: a vehicle seen from high up has about 20.
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    roi_head=dict(bbox_head=dict(num_classes=3), mask_head=dict(num_classes=3)),
    # Anchors and proposals of which more than half lies in ignore regions are neither positive nor negative.
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                _delete_=True,
                type='FLSLIgnoreRegionAssigner',
                max_covered=0.5,
                assigner=dict(
                    type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True
                ),
            )
        ),
        rcnn=dict(
            assigner=dict(
                _delete_=True,
                type='FLSLIgnoreRegionAssigner',
                max_covered=0.5,
                assigner=dict(
                    type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=True
                ),
            )
        ),
    ),
    test_cfg=dict(rcnn=dict(max_per_img=300)),
)
