"""Images and boxes stay together through the configs' pipelines, and a small UAVDT tree trains and is evaluated."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops
from flsl_mm.commands import uavdt2coco
from tests.builders.coco import coco_content
from tests.builders.small_detector import narrow
from tests.builders.uavdt_tree import write_sequence

CONFIGS = Path(__file__).parents[2] / 'configs' / 'det'
SIZE = (256, 160)
CAR, TRUCK, REGION = (40, 60, 90, 50), (170, 20, 60, 100), (10, 10, 40, 30)
GRAY, RED, GREEN = (90, 90, 90), (250, 40, 40), (40, 250, 40)
SEEDS = range(8)


def paint(path: Path) -> None:
    image = Image.new('RGB', SIZE, GRAY)
    for (left, top, width, height), color in ((CAR, RED), (TRUCK, GREEN)):
        ImageDraw.Draw(image).rectangle((left, top, left + width - 1, top + height - 1), color)
    image.save(path, quality=95)


@pytest.fixture
def uavdt(tmp_path) -> Path:
    """Make a converted tree of two training frames and a test frame that all show a car, a truck and a region."""
    root = tmp_path / 'uavdt'
    boxes = [(1, 1, *CAR, 1, 1, 1), (1, 2, *TRUCK, 1, 1, 2)]
    for name in ('M0101', 'M0201', 'M0203'):
        write_sequence(root, name, boxes, [(1, 1, *REGION)], frames=1, size=SIZE)
    for path in root.rglob('*.jpg'):
        paint(path)
    assert uavdt2coco.main([str(root), '--out', str(root / 'annotations'), '--workers', '0']) == 0
    return root


@pytest.fixture
def coco(tmp_path) -> Path:
    from mmdet.datasets import CocoDataset

    root = tmp_path / 'coco'
    (root / 'annotations').mkdir(parents=True)
    for split in ('train2017', 'val2017'):
        (root / split).mkdir()
        paint(root / split / '1.jpg')
        content = coco_content(['1.jpg'], [CAR, TRUCK], CocoDataset.METAINFO['classes'], SIZE, first=10)
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
    return root


def build(name: str, part: str):
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope('mmdet')
    return DATASETS.build(cfg[part].dataset)


def load(dataset, seed: int) -> tuple[np.ndarray, object]:
    """Run the pipeline; returns the image (H, W, 3) in blue, green, red, and its data sample."""
    random.seed(seed)
    np.random.seed(seed)  # mmdet's transforms draw from the global state
    item = dataset[0]
    assert item['inputs'].dtype == torch.uint8
    return item['inputs'].permute(1, 2, 0).numpy(), item['data_samples']


def seen(image: np.ndarray, label: int) -> np.ndarray:
    """Find the pixels of the car (label 0, red) or of the truck (label 1, green)."""
    _, green, red = image.astype(int).transpose(2, 0, 1)
    return (red - green > 80) if label == 0 else (green - red > 80)


def check_objects(image: np.ndarray, sample, masks: bool) -> int:
    """Compare boxes and masks with what the image shows, and return the number of objects."""
    height, width = sample.img_shape
    assert image.shape == (height, width, 3)
    found = sample.gt_instances
    for index, label in enumerate(found.labels.tolist()):
        x1, y1, x2, y2 = found.bboxes.tensor[index].tolist()
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        rows, columns = np.nonzero(seen(image, label))
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose([x1, y1, x2, y2], edges, atol=0.02 * width)
        if masks:
            mask = found.masks.to_ndarray()[index].astype(bool)
            assert mask.shape == (height, width)
            assert (mask & seen(image, label)).sum() > 0.9 * (mask | seen(image, label)).sum()
    shown = {label for label in (0, 1) if seen(image, label).any()}
    assert shown >= set(found.labels.tolist())
    return len(found)


@pytest.mark.parametrize('name', ['mask-rcnn_flsl-vit-s16_fpn_uavdt', 'faster-rcnn_flsl-vit-s16_fpn_uavdt'])
def test_pipelines_of_uavdt(name, uavdt, monkeypatch):
    monkeypatch.setenv('UAVDT_ROOT', str(uavdt))
    dataset = build(f'{name}.py', 'train_dataloader')
    assert len(dataset) == 2
    shapes, flips, numbers, outside = set(), set(), [], 0
    for seed in SEEDS:
        image, sample = load(dataset, seed)
        numbers.append(check_objects(image, sample, masks=name.startswith('mask')))
        shapes.add(sample.img_shape)
        flips.add(sample.flip)
        regions = sample.ignored_instances.bboxes.tensor
        outside += int((regions < 0).any())
    assert len(shapes) > 3
    assert flips == {False, True}
    assert max(numbers) == 2
    assert outside > 0  # a crop or its border cut a region: it goes on beyond
    check_test_pipeline(name)


def test_pipelines_of_coco(coco, monkeypatch):

    monkeypatch.setenv('COCO_ROOT', str(coco))
    dataset = build('mask-rcnn_flsl-vit-s16_fpn_1x_coco.py', 'train_dataloader')
    numbers = [check_objects(*load(dataset, seed), masks=True) for seed in SEEDS]
    assert max(numbers) == 2
    check_test_pipeline('mask-rcnn_flsl-vit-s16_fpn_1x_coco')


def check_test_pipeline(name: str) -> None:
    image, sample = load(build(f'{name}.py', 'test_dataloader'), 0)
    assert sample.ori_shape == SIZE[::-1]
    assert image.shape[:2] == sample.img_shape == (800, 1280)
    assert sample.scale_factor == (5, 5)
    assert Path(sample.img_path).is_file()


@pytest.mark.slow
def test_uavdt_config_trains_and_evaluates(uavdt, monkeypatch, tmp_path):
    monkeypatch.setenv('UAVDT_SCENES_ROOT', str(uavdt))
    cfg = Config.fromfile(CONFIGS / 'mask-rcnn_flsl-vit-t16_fpn_uavdt-scenes.py')
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'work'), tmp_path.name
    narrow(cfg)
    cfg.train_dataloader.dataset.pipeline[2].scale = (128, 80)
    cfg.val_dataloader.dataset.pipeline[1].scale = (128, 80)
    cfg.train_cfg.update(max_epochs=2, val_interval=2)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    scalars = runner.message_hub.log_scalars
    assert 0 <= scalars['val/uavdt/AP'].current() <= 1
    assert 0 <= scalars['val/uavdt/truck_AP70'].current() <= 1
    assert scalars['val/uavdt/bus_AP'].current() == -1  # the test frame shows none
    assert scalars['train/loss'].current() > 0
