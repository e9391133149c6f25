"""Tiny mmdet detectors on FLSLViT and FLSLViTPyramid, wired as docs/detection.md says."""

from mmengine.config import Config

NUM_CLASSES = 3
WIDTH = 32
DETR_WIDTH = 256  # upstream mmdet's DINO takes no other
BACKBONE = dict(
    type='FLSLViT',
    arch=dict(embed_dim=8, depth=4, num_heads=2),
    patch_size=16,
    img_size=64,
    out_indices=(0, 1, 2, 3),
    final_norm=False,
)
PREPROCESSOR = dict(type='DetDataPreprocessor', mean=[127.0] * 3, std=[64.0] * 3, pad_mask=True, pad_size_divisor=32)
FOCAL = dict(type='FocalLoss')
GROUP_NORM = dict(type='GN', num_groups=8)
NMS = dict(type='nms', iou_threshold=0.5)
ONE_STAGE_TEST = dict(nms_pre=50, min_bbox_size=0, score_thr=0.0, nms=NMS, max_per_img=10)
PROPOSALS = dict(nms_pre=50, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)


def assigner(positive: float, negative: float) -> dict:
    """Make an assigner by overlap."""
    return dict(
        type='MaxIoUAssigner', pos_iou_thr=positive, neg_iou_thr=negative, min_pos_iou=negative, ignore_iof_thr=-1
    )


def base(type_: str, strides: tuple[int, ...], neck: dict | None, **parts) -> dict:
    """Put backbone, pyramid and neck together: one backbone map per stride."""
    pyramid = dict(type='FLSLViTPyramid', in_channels=8, patch_size=16, strides=strides)
    backbone = dict(BACKBONE, out_indices=BACKBONE['out_indices'][-len(strides) :])
    necks = pyramid if neck is None else [pyramid, dict(neck, in_channels=[8] * len(strides))]
    return dict(type=type_, data_preprocessor=PREPROCESSOR, backbone=backbone, neck=necks, **parts)


def fpn(**settings) -> dict:
    """Make an FPN of five levels."""
    return dict(type='FPN', out_channels=WIDTH, num_outs=5, **settings)


def roi_extractor(size: int) -> dict:
    """Make a RoI extractor with ``size`` x ``size`` output."""
    layer = dict(type='RoIAlign', output_size=size, sampling_ratio=0)
    return dict(type='SingleRoIExtractor', roi_layer=layer, out_channels=WIDTH, featmap_strides=[4, 8, 16, 32])


def bbox_head(**settings) -> dict:
    """Make the box head of the two-stage detectors."""
    widths = dict(in_channels=WIDTH, fc_out_channels=WIDTH)
    return dict(type='Shared2FCBBoxHead', num_classes=NUM_CLASSES, **widths, **settings)


def mask_parts() -> dict:
    """Make the mask branch of a RoI head."""
    head = dict(type='FCNMaskHead', num_convs=1, in_channels=WIDTH, conv_out_channels=WIDTH, num_classes=NUM_CLASSES)
    return dict(mask_roi_extractor=roi_extractor(14), mask_head=head)


def two_stage(type_: str, roi_head: dict, num_stages: int = 0) -> dict:
    """Make an R-CNN; ``num_stages`` repeats the box head's training settings (cascade)."""
    sampler = dict(type='RandomSampler', num=16, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=True)
    rcnn = dict(assigner=assigner(0.5, 0.5), sampler=sampler, mask_size=28, pos_weight=-1, debug=False)
    rpn = dict(assigner=assigner(0.7, 0.3), sampler=sampler, allowed_border=-1, pos_weight=-1, debug=False)
    anchors = dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[4, 8, 16, 32, 64])
    return base(
        type_,
        (4, 8, 16, 32),
        fpn(),
        rpn_head=dict(type='RPNHead', in_channels=WIDTH, feat_channels=WIDTH, anchor_generator=anchors),
        roi_head=roi_head,
        train_cfg=dict(rpn=rpn, rpn_proposal=PROPOSALS, rcnn=[rcnn] * num_stages if num_stages else rcnn),
        test_cfg=dict(rpn=PROPOSALS, rcnn=dict(score_thr=0.0, nms=NMS, max_per_img=10, mask_thr_binary=0.5)),
    )


def faster_rcnn() -> dict:
    """Faster R-CNN."""
    head = dict(type='StandardRoIHead', bbox_roi_extractor=roi_extractor(7), bbox_head=bbox_head())
    return two_stage('FasterRCNN', head)


def mask_rcnn() -> dict:
    """Mask R-CNN."""
    head = dict(type='StandardRoIHead', bbox_roi_extractor=roi_extractor(7), bbox_head=bbox_head(), **mask_parts())
    return two_stage('MaskRCNN', head)


def cascade_rcnn() -> dict:
    """Cascade Mask R-CNN of two stages."""
    head = dict(
        type='CascadeRoIHead',
        num_stages=2,
        stage_loss_weights=[1, 0.5],
        bbox_roi_extractor=roi_extractor(7),
        bbox_head=[bbox_head(reg_class_agnostic=True) for _ in range(2)],
        **mask_parts(),
    )
    return two_stage('CascadeRCNN', head, num_stages=2)


def one_stage(type_: str, bbox_head: dict, train_cfg: dict | None = None) -> dict:
    """Make a dense detector that starts at stride 8."""
    head = dict(bbox_head, num_classes=NUM_CLASSES, in_channels=WIDTH, feat_channels=WIDTH, stacked_convs=1)
    neck = fpn(add_extra_convs='on_output')
    return base(type_, (8, 16, 32), neck, bbox_head=head, train_cfg=train_cfg, test_cfg=ONE_STAGE_TEST)


def anchors() -> dict:
    """Make the anchors of RetinaNet and ATSS."""
    return dict(
        type='AnchorGenerator', octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=[8, 16, 32, 64, 128]
    )


def retinanet() -> dict:
    """RetinaNet."""
    train_cfg = dict(assigner=assigner(0.5, 0.4), sampler=dict(type='PseudoSampler'), allowed_border=-1, pos_weight=-1)
    return one_stage('RetinaNet', dict(type='RetinaHead', anchor_generator=anchors(), loss_cls=FOCAL), train_cfg)


def fcos() -> dict:
    """FCOS."""
    return one_stage('FCOS', dict(type='FCOSHead', strides=[8, 16, 32, 64, 128], norm_cfg=GROUP_NORM))


def atss() -> dict:
    """ATSS."""
    head = dict(type='ATSSHead', anchor_generator=anchors(), norm_cfg=GROUP_NORM, loss_cls=FOCAL)
    coder = dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2])
    train_cfg = dict(assigner=dict(type='ATSSAssigner', topk=2), allowed_border=-1, pos_weight=-1)
    return one_stage('ATSS', dict(head, bbox_coder=coder, loss_bbox=dict(type='GIoULoss')), train_cfg)


def deformable(type_: str, head: str, **settings) -> dict:
    """Make a deformable transformer detector of one encoder and one decoder layer on four levels."""
    attention = dict(embed_dims=DETR_WIDTH, num_levels=4, num_heads=4)
    ffn = dict(embed_dims=DETR_WIDTH, feedforward_channels=DETR_WIDTH)
    decoder_layer = dict(self_attn_cfg=dict(embed_dims=DETR_WIDTH, num_heads=4), cross_attn_cfg=attention, ffn_cfg=ffn)
    match_costs = [
        dict(type='FocalLossCost', weight=2.0),
        dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
        dict(type='IoUCost', iou_mode='giou', weight=2.0),
    ]
    mapper = dict(type='ChannelMapper', kernel_size=1, out_channels=DETR_WIDTH, act_cfg=None, num_outs=4)
    return base(
        type_,
        (8, 16, 32),
        dict(mapper, norm_cfg=GROUP_NORM),
        num_queries=10,
        encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
        decoder=dict(num_layers=1, return_intermediate=True, layer_cfg=decoder_layer, post_norm_cfg=None),
        positional_encoding=dict(num_feats=DETR_WIDTH // 2, normalize=True),
        bbox_head=dict(type=head, num_classes=NUM_CLASSES, sync_cls_avg_factor=True, loss_cls=FOCAL),
        train_cfg=dict(assigner=dict(type='HungarianAssigner', match_costs=match_costs)),
        test_cfg=dict(max_per_img=10),
        **settings,
    )


def deformable_detr() -> dict:
    """Deformable DETR."""
    return deformable('DeformableDETR', 'DeformableDETRHead', num_feature_levels=4)


def dino() -> dict:
    """DINO (the detector)."""
    denoising = dict(label_noise_scale=0.5, box_noise_scale=1.0)
    denoising['group_cfg'] = dict(dynamic=True, num_groups=None, num_dn_queries=4)
    return deformable('DINO', 'DINOHead', with_box_refine=True, as_two_stage=True, dn_cfg=denoising)


def mask2former() -> dict:
    """Mask2Former for instances."""
    attention = dict(embed_dims=WIDTH, num_heads=4, dropout=0.0, batch_first=True)
    relu = dict(type='ReLU', inplace=True)
    ffn = dict(embed_dims=WIDTH, feedforward_channels=WIDTH, num_fcs=2, ffn_drop=0.0, act_cfg=relu)
    position = dict(num_feats=WIDTH // 2, normalize=True)
    encoder_layer = dict(self_attn_cfg=dict(attention, num_levels=3, num_points=4), ffn_cfg=ffn)
    decoder_layer = dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn)
    class_weight = [1.0] * NUM_CLASSES + [0.1]
    kinds = dict(num_things_classes=NUM_CLASSES, num_stuff_classes=0)
    costs = [dict(type='ClassificationCost'), dict(type='CrossEntropyLossCost', use_sigmoid=True)]
    return base(
        'Mask2Former',
        (4, 8, 16, 32),
        None,
        panoptic_head=dict(
            type='Mask2FormerHead',
            in_channels=[8] * 4,
            strides=[4, 8, 16, 32],
            feat_channels=WIDTH,
            out_channels=WIDTH,
            num_queries=10,
            num_transformer_feat_level=3,
            pixel_decoder=dict(
                type='MSDeformAttnPixelDecoder',
                num_outs=3,
                norm_cfg=GROUP_NORM,
                act_cfg=dict(type='ReLU'),
                encoder=dict(num_layers=1, layer_cfg=encoder_layer),
                positional_encoding=position,
            ),
            positional_encoding=position,
            transformer_decoder=dict(return_intermediate=True, num_layers=1, layer_cfg=decoder_layer, init_cfg=None),
            loss_cls=dict(type='CrossEntropyLoss', reduction='mean', class_weight=class_weight),
            **kinds,
        ),
        panoptic_fusion_head=dict(type='MaskFormerFusionHead', loss_panoptic=None, init_cfg=None, **kinds),
        train_cfg=dict(
            num_points=64,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(type='HungarianAssigner', match_costs=costs),
            sampler=dict(type='MaskPseudoSampler'),
        ),
        test_cfg=dict(panoptic_on=False, semantic_on=False, instance_on=True, max_per_image=10, iou_thr=0.8),
    )


DETECTORS = {
    'Faster R-CNN': faster_rcnn,
    'Mask R-CNN': mask_rcnn,
    'Cascade R-CNN': cascade_rcnn,
    'RetinaNet': retinanet,
    'FCOS': fcos,
    'ATSS': atss,
    'Deformable DETR': deformable_detr,
    'DINO': dino,
    'Mask2Former': mask2former,
}


def build(name: str, pad_size_divisor: int = 32, **backbone):
    """Build one of the detectors and initialize its weights, as a Runner with ``default_scope = 'mmdet'`` does.

    Args:
        name: Key of ``DETECTORS``.
        pad_size_divisor: Images are padded to a multiple of it.
        **backbone: Further settings of the backbone.
    """
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    detector = Config(dict(model=DETECTORS[name]())).model
    detector.backbone.update(backbone)
    detector.data_preprocessor.pad_size_divisor = pad_size_divisor
    model = MODELS.build(detector)
    model.init_weights()
    return model
