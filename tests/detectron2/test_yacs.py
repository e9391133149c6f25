"""The backbone in detectron2's yacs configs."""

import pytest

from tests.builders.checkpoints import same

pytest.importorskip('detectron2', reason='detectron2 is not installed (docs/detectron2.md says how)')

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_backbone, build_model
from detectron2.utils.events import EventStorage

from flsl_mm.detectron2 import add_flsl_config
from tests.builders.detectron2_models import batch, predicted


def mask_rcnn(**flsl_vit) -> CfgNode:
    """Make the config of a small Mask R-CNN."""
    cfg = get_cfg()
    add_flsl_config(cfg)
    model = cfg.MODEL
    model.update(DEVICE='cpu', MASK_ON=True, PIXEL_MEAN=[123.675, 116.28, 103.53], PIXEL_STD=[58.395, 57.12, 57.375])
    cfg.INPUT.FORMAT = 'RGB'
    model.BACKBONE.NAME = 'build_flsl_vit_fpn_backbone'
    model.FPN.IN_FEATURES = ['res2', 'res3', 'res4', 'res5']
    model.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    model.RPN.IN_FEATURES = ['p2', 'p3', 'p4', 'p5', 'p6']
    model.ROI_HEADS.update(NAME='StandardROIHeads', IN_FEATURES=['p2', 'p3', 'p4', 'p5'])
    model.ROI_BOX_HEAD.update(NAME='FastRCNNConvFCHead', NUM_FC=1, FC_DIM=32)
    model.ROI_MASK_HEAD.update(NAME='MaskRCNNConvUpsampleHead', NUM_CONV=1, CONV_DIM=8)
    small = dict(EMBED_DIM=16, DEPTH=4, NUM_HEADS=2, IMG_SIZE=64, OUT_INDICES=[0, 1, 2, 3])
    model.FLSL_VIT.update(small | flsl_vit)
    return cfg


def retinanet(**flsl_vit) -> CfgNode:
    """Make the config of a small RetinaNet."""
    cfg = mask_rcnn(**flsl_vit)
    cfg.MODEL.META_ARCHITECTURE = 'RetinaNet'
    cfg.MODEL.BACKBONE.NAME = 'build_retinanet_flsl_vit_fpn_backbone'
    cfg.MODEL.FPN.IN_FEATURES = ['res3', 'res4', 'res5']
    return cfg


@pytest.mark.parametrize('detector', [mask_rcnn, retinanet])
def test_detectors_train_all_of_their_parameters_and_predict(detector, vit, weights):
    options = {} if detector is mask_rcnn else dict(STRIDES=[8, 16, 32], OUT_INDICES=[1, 2, 3])
    model = build_model(detector(CHECKPOINT=weights, **options))
    assert same(model.backbone.bottom_up.vit.state_dict(), vit.state_dict())
    with EventStorage(0):
        sum(model(batch(with_masks=detector is mask_rcnn)).values()).backward()
    assert [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None] == []
    assert predicted(model).image_size == (64, 96)


def test_a_config_survives_its_file(tmp_path):
    cfg = mask_rcnn(WITH_CP=True, CHECKPOINT='some.pth')
    (tmp_path / 'config.yaml').write_text(cfg.dump())
    again = get_cfg()
    add_flsl_config(again)
    again.merge_from_file(str(tmp_path / 'config.yaml'))
    assert again.MODEL.FLSL_VIT == cfg.MODEL.FLSL_VIT


def test_the_default_is_the_backbone_of_the_recipe():
    cfg = get_cfg()
    add_flsl_config(cfg)
    cfg.MODEL.BACKBONE.NAME = 'build_flsl_vit_backbone'
    backbone = build_backbone(cfg)
    assert backbone.vit.spec.arch == dict(embed_dim=384, depth=12, num_heads=6, mlp_ratio=4.0)
    assert backbone.vit.out_indices == (3, 5, 7, 11)
    assert backbone.strides == (4, 8, 16, 32)


def test_other_colors_stop_unless_one_insists(weights):
    cfg = mask_rcnn(CHECKPOINT=weights)
    cfg.INPUT.FORMAT = 'BGR'
    with pytest.raises(
        ValueError, match=r"would get BGR .* MODEL.PIXEL_STD=\[58.395, 57.12, 57.375\], INPUT.FORMAT='RGB"
    ):
        build_model(cfg)
    cfg.MODEL.FLSL_VIT.ALLOW_OTHER_INPUT = True
    build_model(cfg)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match='a map without a reader would stop distributed training'):
        build_model(retinanet())
    cfg = mask_rcnn()
    del cfg.MODEL['FLSL_VIT']
    with pytest.raises(ValueError, match=r'call flsl_mm.detectron2.add_flsl_config\(cfg\) first'):
        build_model(cfg)
