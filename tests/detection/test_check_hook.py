"""Strides and classes of a detector are checked before it runs."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from torch import nn

from flsl_mm.detection.check_hook import FLSLDetectionCheckHook, check_num_classes, check_strides, measure_strides
from flsl_mm.models import FLSLViT


class Head(nn.Module):
    """A dense head or a RoI head, as far as the checks read it."""

    def __init__(self, **attributes):
        super().__init__()
        vars(self).update(attributes)


class Detector(nn.Module):
    """A detector whose maps have the given strides."""

    def __init__(self, strides=(4, 8), **heads):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 2, 1, stride=stride) for stride in strides)
        self.dropout = nn.Dropout()
        for name, head in heads.items():
            setattr(self, name, head)

    def extract_feat(self, images):
        assert not self.dropout.training
        return [conv(images) for conv in self.convs]


def dense_head(strides, **attributes):
    return Head(prior_generator=SimpleNamespace(strides=strides), **attributes)


def test_strides_are_measured_in_evaluation_mode_and_the_mode_comes_back():
    model = Detector(strides=(4, 8, 128))
    model.convs.append(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))
    assert measure_strides(model.train()) == (4, 8, 128, 1)
    assert model.training
    assert model.dropout.training
    assert torch.equal(model.convs[-1][1].running_mean, torch.zeros(2))


@pytest.mark.parametrize(
    'heads',
    [
        dict(rpn_head=dense_head([(4, 4), (8, 8)]), extractor=Head(featmap_strides=[4])),
        dict(rpn_head=dense_head([4, 8]), extractor=Head(featmap_strides=[4])),
        dict(semantic_roi_extractor=Head(featmap_strides=[8])),  # reads the map of any level
        dict(bbox_head=dense_head([4, 8]), mask_head=dense_head([4])),  # of CondInst and BoxInst: reads one map
    ],
)
def test_fitting_strides_pass(heads):
    check_strides(Detector(**heads))
    check_strides(nn.Linear(1, 1))  # which has none, and need not be measured


@pytest.mark.parametrize(
    ('heads', 'strides'),
    [
        (dict(bbox_head=dense_head([(8, 8), (16, 16)])), r'\[8, 16\]'),
        (dict(bbox_head=dense_head([(4, 4)])), r'\[4\]'),
        (dict(bbox_head=Head(featmap_strides=[8])), r'\[8\]'),
        (dict(bbox_head=Head(featmap_strides=[4, 8, 16])), r'\[4, 8, 16\]'),
        (dict(semantic_roi_extractor=Head(featmap_strides=[16])), r'\[16\]'),
        (dict(mask_head=dense_head([16]), bbox_head=dense_head([4, 8])), r'\[16\]'),
    ],
)
def test_wrong_strides_are_named(heads, strides):
    with pytest.raises(ValueError, match=rf'{next(iter(heads))}\S* assumes .* strides {strides}.* \[4, 8\]'):
        check_strides(Detector(**heads))


def test_channels_that_a_head_lists_are_compared():
    """Mask2Former's head takes the maps as they are."""
    hook = FLSLDetectionCheckHook()
    hook.before_test(runner_with(Detector(), model_cfg=dict(panoptic_head=dict(in_channels=[2, 2]), neck=[])))
    wrong = dict(panoptic_head=dict(in_channels=[256, 512]))
    with pytest.raises(ValueError, match=r'necks deliver \[2, 2\]: set model.panoptic_head.in_channels=\[2, 2\]'):
        hook.before_test(runner_with(Detector(), model_cfg=wrong))


def test_necks_that_take_other_maps_are_named():
    model = Detector(bbox_head=dense_head([4, 8]))
    model.convs[1] = nn.Conv2d(5, 2, 1)
    with pytest.raises(ValueError, match=r'not get through .*expected input.* 5 channels.*: each neck takes one map'):
        check_strides(model.train())
    assert model.training


def test_number_of_classes_is_compared_in_every_head_that_tells_them_apart():
    model = Detector(bbox_head=Head(num_classes=2), mask_head=Head(num_classes=80, class_agnostic=True))
    model.rpn_head = Head(num_classes=1)
    check_num_classes(model, ['cat', 'dog'])
    with pytest.raises(ValueError, match=r'bbox_head has num_classes=2, the data set lists 1 categories \(cat\)'):
        check_num_classes(model, ['cat'])
    # Semantic branches have classes of their own.
    check_num_classes(Detector(bbox_head=Head(num_classes=1), semantic_head=Head(num_classes=183)), ['cat'])


def test_in_panoptic_data_box_heads_tell_things_apart_and_panoptic_heads_everything():
    model = Detector(bbox_head=Head(num_classes=1), fusion_head=Head(num_classes=3, num_things_classes=1))
    classes = ['cat', 'sky', 'road']
    check_num_classes(model, classes, ['cat'])
    with pytest.raises(ValueError, match=r'bbox_head has num_classes=1, the data set lists 2 categories \(cat, dog\)'):
        check_num_classes(model, ['dog', *classes], ['cat', 'dog'])
    with pytest.raises(ValueError, match='fusion_head has num_classes=3, the data set lists 4 categories'):
        check_num_classes(model, [*classes, 'sea'], ['cat'])


def runner_with(model, train=('cat',), val=('cat',), test=('cat',), model_cfg=None):
    loaders = {
        f'{name}_dataloader': SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
        for name, classes in dict(train=train, val=val, test=test).items()
    }
    return SimpleNamespace(model=model, cfg=dict(model=model_cfg or {}), val_loop=object(), **loaders)


@pytest.mark.parametrize(
    ('stage', 'part'),
    [('before_train', 'train'), ('before_train', 'val'), ('before_val', 'val'), ('before_test', 'test')],
)
def test_hook_checks_each_stage_against_its_data(stage, part):
    model, hook = Detector(bbox_head=dense_head([4, 8], num_classes=1)), FLSLDetectionCheckHook()
    getattr(hook, stage)(runner_with(model))
    with pytest.raises(ValueError, match='num_classes=1, the data set lists 2'):
        getattr(hook, stage)(runner_with(model, **{part: ('cat', 'dog')}))
    hook.before_test(runner_with(model, test=None))  # data without names of classes
    with pytest.raises(ValueError, match='necks deliver'):
        hook.before_test(runner_with(Detector(bbox_head=dense_head([2, 4]))))
    # The things of a panoptic data set.
    runner = runner_with(model, test=('cat', 'sky'))
    runner.test_dataloader.dataset.metainfo['thing_classes'] = ('cat',)
    hook.before_test(runner)
    runner.test_dataloader.dataset.metainfo['thing_classes'] = ('cat', 'dog')
    with pytest.raises(ValueError, match='num_classes=1, the data set lists 2'):
        hook.before_test(runner)


def test_hook_compares_colors_unless_it_is_told_not_to():
    backbone = FLSLViT(arch=dict(embed_dim=8, depth=1, num_heads=2), img_size=32)
    backbone.spec = replace(backbone.spec, mean=(0.5,) * 3, std=(0.5,) * 3)
    model = Detector(backbone=backbone, data_preprocessor=ImgDataPreprocessor([127.5] * 3, [127.5] * 3))
    with pytest.raises(ValueError, match=r'would get BGR .* allow_other_input=True of FLSLDetectionCheckHook'):
        FLSLDetectionCheckHook().before_test(runner_with(model))
    FLSLDetectionCheckHook(allow_other_input=True).before_test(runner_with(model))
