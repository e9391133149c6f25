"""The UAVDT configs: they read, and a detector built from one is not trained by what lies in ignore regions."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

pytest.importorskip('mmdet')

from mmengine.registry import MODELS, init_default_scope

from flsl_mm.uavdt.ignore_regions import FLSLExtendIgnoreRegions

CONFIGS = Path(__file__).parents[2] / 'configs' / 'det'
NAMES = [
    'mask-rcnn_flsl-vit-s16_fpn_uavdt',
    'mask-rcnn_flsl-vit-s8_fpn_uavdt',
    'faster-rcnn_flsl-vit-s16_fpn_uavdt',
    'mask-rcnn_flsl-vit-t16_fpn_uavdt-scenes',
]
REGION = torch.tensor([[0.0, 0, 64, 128]])


@pytest.mark.parametrize('name', NAMES)
def test_config(name):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    for stage in ('rpn', 'rcnn'):
        assert config.model.train_cfg[stage].assigner.type == 'FLSLIgnoreRegionAssigner'
    classes = config.train_dataloader.dataset.metainfo.classes
    assert config.test_dataloader.dataset.metainfo.classes == classes
    assert config.model.roi_head.bbox_head.num_classes == len(classes) == 3
    masks = not name.startswith('faster')
    assert (config.model.roi_head.mask_head is not None) == masks
    assert config.train_dataloader.dataset.pipeline[1].get('with_mask', False) == masks
    evaluator, dataset = config.test_evaluator, config.test_dataloader.dataset
    assert evaluator.type == 'UAVDTMetric'
    assert evaluator.ann_file == f'{dataset.data_root}/{dataset.ann_file}'
    steps = [step.type for step in config.train_dataloader.dataset.pipeline[-2:]]
    assert steps == ['FLSLExtendIgnoreRegions', 'PackDetInputs']
    assert config.custom_imports.imports == ['flsl_mm', 'flsl_mm.detection', 'flsl_mm.uavdt']
    assert '_delete_' not in str(config.model)


def sample(objects, regions):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    result = DetDataSample(metainfo=dict(img_shape=(128, 128), pad_shape=(128, 128)))
    result.gt_instances = InstanceData(bboxes=objects, labels=torch.zeros(len(objects), dtype=torch.long))
    result.ignored_instances = InstanceData(bboxes=regions, labels=torch.zeros(len(regions), dtype=torch.long))
    return result


@pytest.mark.parametrize('objects', [torch.zeros(0, 4), torch.tensor([[90.0, 80, 110, 100]])])
def test_anchors_in_regions_get_no_gradient(objects):
    from mmdet.structures.bbox import HorizontalBoxes

    init_default_scope('mmdet')
    model = Config.fromfile(CONFIGS / f'{NAMES[-1]}.py').model
    train_cfg = model.train_cfg.rpn
    train_cfg.sampler.num = 100_000  # all of them, not some by chance
    head = MODELS.build(dict(**model.rpn_head, train_cfg=train_cfg, test_cfg=model.test_cfg.rpn))
    sizes = [(128 // stride[0], 128 // stride[1]) for stride in head.prior_generator.strides]
    scores = [torch.zeros(1, 3, *size, requires_grad=True) for size in sizes]
    deltas = [torch.zeros(1, 12, *size) for size in sizes]
    boxes = HorizontalBoxes(REGION.clone())
    FLSLExtendIgnoreRegions()(dict(gt_bboxes=boxes, gt_ignore_flags=[True], img_shape=(128, 128)))
    data = sample(objects, boxes.tensor)
    losses = head.loss_by_feat(scores, deltas, [data.gt_instances], [data.metainfo], [data.ignored_instances])
    sum(losses['loss_rpn_cls']).backward()
    # The region is the left half. Anchors round its edge, and they alone, lie in it by half.
    for level, stride in enumerate((4, 8, 16)):
        trained = scores[level].grad[0].abs().sum(0) > 0
        assert not trained[:, : 64 // stride].any()
        assert trained[:, 64 // stride + 1 :].any(0).all()


def test_proposals_in_regions_are_not_sampled():
    from mmdet.structures import DetDataSample  # noqa: F401
    from mmengine.structures import InstanceData

    init_default_scope('mmdet')
    model = Config.fromfile(CONFIGS / f'{NAMES[-1]}.py').model
    head = MODELS.build(dict(**model.roi_head, train_cfg=model.train_cfg.rcnn, test_cfg=model.test_cfg.rcnn))
    objects = torch.tensor([[90.0, 80, 110, 100]])
    data = sample(objects, REGION)
    proposals = torch.tensor([[10.0, 10, 30, 30], [50, 10, 70, 30], [70, 10, 90, 30], [90, 80, 110, 101]])
    found = InstanceData(priors=proposals, scores=torch.ones(4))
    assigned = head.bbox_assigner.assign(found, data.gt_instances, data.ignored_instances)
    sampled = head.bbox_sampler.sample(assigned, found, data.gt_instances)
    assert sampled.pos_priors.tolist() == [[90, 80, 110, 100], [90, 80, 110, 101]]
    assert sampled.neg_priors.tolist() == [[70, 10, 90, 30]]
