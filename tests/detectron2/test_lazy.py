"""The backbone in detectron2's LazyConfigs: every config, features as in mmdet, weights, colors, data."""

import logging
import re

import numpy as np
import pytest
import torch
from PIL import Image

from flsl_mm.checkpoint import CheckpointError, load_backbone, to_flsl
from tests.builders.checkpoints import same, timm_vit

pytest.importorskip('detectron2', reason='detectron2 is not installed (docs/detectron2.md says how)')

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetMapper, MetadataCatalog
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
from detectron2.utils.events import EventStorage

from flsl_mm import detectron2 as flsl
from tests.builders.detectron2_models import ARCH, CONFIGS, batch, built, predicted, small


@pytest.mark.parametrize('name', sorted(path.stem for path in CONFIGS.glob('*.py')))
def test_every_config_trains_all_of_its_parameters_and_predicts(name):
    cfg = small(name)
    model = built(cfg)
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    data = batch(with_masks='mask_rcnn' in name)
    for _ in range(2):
        with EventStorage(0):
            sum(model(data).values()).backward()
        optimizer.step()
    trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
    assert [key for key, value in trained.items() if value.grad is None] == []
    assert all(torch.isfinite(value).all() for value in trained.values())
    assert predicted(model).image_size == (64, 96)
    for part in (cfg.dataloader.train, cfg.dataloader.test):
        flsl.check_input(model, instantiate(part.mapper).image_format)
    schedule = instantiate(cfg.lr_multiplier)
    assert schedule(0) <= 0.01
    assert schedule(1 - 1 / cfg.train.max_iter) == pytest.approx(0.01)


def test_features_are_those_of_mmdet(weights, tmp_path):
    """From the file of an image on, each with its own reading, normalization and padding."""
    pytest.importorskip('mmdet')
    from mmcv.transforms import LoadImageFromFile
    from mmdet.datasets.transforms import PackDetInputs
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    path = str(tmp_path / 'image.png')
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (50, 75, 3), dtype=np.uint8)).save(path)
    cfg = Config.fromfile(CONFIGS.parent / 'det/mask-rcnn_flsl-vit-t16_fpn_scenes.py', import_custom_modules=False)
    init_default_scope('mmdet')
    cfg.model.backbone.update(arch=ARCH, img_size=64, out_indices=(0, 1, 2, 3))
    for neck in cfg.model.neck:
        neck.in_channels = 16 if neck.type == 'FLSLViTPyramid' else [16] * 4
    theirs = MODELS.build(cfg.model).eval()
    load_backbone(theirs.backbone, weights)
    packed = PackDetInputs(meta_keys=('img_shape',))(LoadImageFromFile()(dict(img_path=path)))
    images = theirs.data_preprocessor(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]))['inputs']

    ours = built(small(checkpoint=weights)).eval()
    ours.backbone.bottom_up.pyramid.load_state_dict(theirs.neck[0].state_dict())
    mapper = DatasetMapper(is_train=False, augmentations=[], image_format='RGB')
    with torch.no_grad():
        expected = theirs.neck[0](theirs.backbone(images))
        maps = ours.backbone.bottom_up(ours.preprocess_image([mapper(dict(file_name=path))]).tensor)
    assert list(maps) == ['res2', 'res3', 'res4', 'res5']
    assert all((a - b).abs().max() < 1e-6 for a, b in zip(maps.values(), expected, strict=True))


@pytest.mark.parametrize(
    ('patch_size', 'strides', 'names'),
    [
        (16, (4, 8, 16, 32), ['res2', 'res3', 'res4', 'res5']),
        (8, (4, 8, 16, 32), ['res2', 'res3', 'res4', 'res5']),
        (16, (8, 16, 32), ['res3', 'res4', 'res5']),
    ],
)
def test_maps_have_the_strides_that_their_names_say(patch_size, strides, names):
    backbone = flsl.FLSLBackbone(ARCH, patch_size, out_indices=range(len(strides)), strides=strides)
    maps = backbone(torch.zeros(1, 3, 64, 96))
    assert list(maps) == names
    assert [tuple(features.shape) for features in maps.values()] == [(1, 16, 64 // s, 96 // s) for s in strides]
    assert [shape.stride for shape in backbone.output_shape().values()] == list(strides)
    assert backbone.size_divisibility == 32


def test_maps_and_strides_are_equally_many():
    message = 'one map per stride: got out_indices [3, 5, 7, 11] for strides [8, 16, 32]'
    with pytest.raises(ValueError, match=re.escape(message)):
        flsl.FLSLBackbone(strides=(8, 16, 32))


def test_weights_are_verified_and_said(vit, weights, tmp_path, caplog, monkeypatch):
    messages = []
    monkeypatch.setattr(flsl.LOGGER, 'handle', lambda record: messages.append(record.getMessage()))
    with caplog.at_level(logging.INFO, flsl.LOGGER.name):
        model = built(small(checkpoint=weights))
    assert messages == [f'loaded 53/53 backbone tensors from {weights} (FLSL backbone file); positions 4x4']
    assert same(model.backbone.bottom_up.vit.state_dict(), vit.state_dict())
    broken = torch.load(weights)
    del broken['state_dict']['blocks.2.mlp.fc1.bias']
    torch.save(broken, tmp_path / 'broken.pth')
    with pytest.raises(CheckpointError, match='1 of 53 backbone tensors are missing: blocks'):
        built(small(checkpoint=str(tmp_path / 'broken.pth')))


def test_detectron2s_own_loading_takes_the_whole_backbone_or_none(tmp_path):
    model = built(small())
    resnet = dict(model={'backbone.bottom_up.stem.conv1.weight': torch.ones(1)})
    for state in (timm_vit().state_dict(), resnet):
        torch.save(state, tmp_path / 'other.pth')
        with pytest.raises(CheckpointError, match=r'lacks \d+ tensors .* give a backbone file as checkpoint= of FLSLB'):
            DetectionCheckpointer(model).load(str(tmp_path / 'other.pth'))


def test_a_trained_detector_is_saved_loaded_and_converted_back(vit, weights, tmp_path):
    model = built(small(checkpoint=weights))
    DetectionCheckpointer(model, str(tmp_path)).save('detector', iteration=3)
    path = str(tmp_path / 'detector.pth')
    again = built(small(), seed=5)
    flsl.FLSLDetectionCheckpointer(again).load(path)
    assert same(again.state_dict(), model.state_dict())
    assert torch.equal(predicted(again).pred_boxes.tensor, predicted(model).pred_boxes.tensor)
    assert again.backbone.bottom_up.vit.spec.mean == (0.485, 0.456, 0.406)  # so that evaluation is checked too
    converted = to_flsl(torch.load(path))
    assert same(converted['state_dict'], vit.state_dict())
    assert converted['meta']['arch']['num_heads'] == 2
    assert converted['meta']['mean'] == [0.485, 0.456, 0.406]


def test_a_backbone_file_as_a_detector_is_answered_with_what_to_do(weights, tmp_path):
    model = built(small())
    torch.save(timm_vit().state_dict(), tmp_path / 'timm.pth')
    for path in (weights, str(tmp_path / 'timm.pth')):
        message = f'not a detector: give it as model.backbone.bottom_up.checkpoint={path} and leave'
        with pytest.raises(CheckpointError, match=re.escape(message)):
            flsl.FLSLDetectionCheckpointer(model).load(path)


def test_another_detector_is_refused(tmp_path):
    model = built(small())
    state = model.state_dict()
    state['roi_heads.box_predictor.cls_score.weight'] = torch.zeros(3, 256)
    torch.save(dict(model=state), tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'1 of \d+ tensors are missing or .*, roi_heads.box_pred'):
        flsl.FLSLDetectionCheckpointer(model).load(str(tmp_path / 'other.pth'))


def test_training_starts_from_a_detector_of_other_classes(tmp_path):
    source = built(small())
    cfg = small()
    cfg.model.roi_heads.num_classes = 7
    model = built(cfg, seed=5)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.save(dict(model=source.state_dict()), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'roi_heads\.box_predictor\.cls_score\.weight for one'):
        flsl.FLSLDetectionCheckpointer(model).load(str(tmp_path / 'a.pth'))
    flsl.FLSLDetectionCheckpointer(model).resume_or_load(str(tmp_path / 'a.pth'), resume=False)
    anew = [name for name, tensor in source.state_dict().items() if tensor.shape != own[name].shape]
    layers = ('roi_heads.box_predictor.cls_score', 'roi_heads.box_predictor.bbox_pred', 'roi_heads.mask_head.predictor')
    assert {name.rpartition('.')[0] for name in anew} == set(layers)
    expected = {name: own[name] if name in anew else tensor for name, tensor in source.state_dict().items()}
    assert same(model.state_dict(), expected)


def test_other_colors_stop(weights):
    model = built(small(checkpoint=weights))
    with pytest.raises(ValueError, match="mapper reads images as BGR, the model's input_format is RGB: make image_fo"):
        flsl.check_input(model, 'BGR')
    model.input_format = 'BGR'
    with pytest.raises(ValueError, match=r'would get BGR .*: set model.pixel_mean='):
        flsl.check_input(model, 'BGR')
    model.input_format = 'RGB'
    model.pixel_std.fill_(1)
    with pytest.raises(ValueError, match=r'would get RGB of .* std \[0.004.*model.pixel_std=\[58.395, 57.12, 57.375\]'):
        flsl.check_input(model, 'RGB')


def test_learning_rates_fall_with_depth():
    names = [name for name, _ in built(small()).named_parameters()]
    rates = {name: get_vit_lr_decay_rate(name, lr_decay_rate=0.5, num_layers=4) for name in names}
    at = 'backbone.bottom_up.vit.'
    assert rates[f'{at}patch_embed.proj.weight'] == rates[f'{at}pos_embed'] == 0.5**5
    assert rates[f'{at}blocks.0.attn.qkv.weight'] == 0.5**4
    assert rates[f'{at}blocks.3.mlp.fc2.bias'] == 0.5
    assert rates['backbone.bottom_up.pyramid.levels.0.0.weight'] == rates['roi_heads.mask_head.deconv.weight'] == 1


def test_a_saved_config_builds_the_same_detector(weights, tmp_path):
    cfg = small(checkpoint=weights)
    LazyConfig.save(cfg, str(tmp_path / 'config.yaml'))
    again = LazyConfig.load(str(tmp_path / 'config.yaml'))
    assert same(built(again).state_dict(), built(cfg).state_dict())
    assert again.train == cfg.train


def test_scenes_are_written_once_and_say_their_classes(tmp_path):
    root = tmp_path / 'scenes'
    train = flsl.scenes(str(root), 'train', num=5, size_hw=(48, 64))
    annotations = root / 'annotations' / 'instances_train.json'
    written = annotations.stat().st_mtime_ns
    val = flsl.scenes(str(root), 'val', num=9)
    assert (len(train), len(val)) == (4, 1)
    assert annotations.stat().st_mtime_ns == written
    assert (train[0]['height'], train[0]['width']) == (48, 64)
    assert len(MetadataCatalog.get('flsl_scenes_val').thing_classes) == 6
    assert flsl.scenes(str(root), 'train') == train  # again in one process
