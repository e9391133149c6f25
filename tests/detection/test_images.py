"""A detector on images: the test program's drawings and files, and mmdet's own ways, as docs/using.md says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mmdet')

import mmengine
from mmengine.runner import Runner
from PIL import Image

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops
from flsl_mm.commands import test as program
from flsl_mm.scenes.painter import CLASSES
from tests.builders.small_detector import scenes_config

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs' / 'using.md'


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """Return the folder of a run of two steps on four images of 64x64: config.py, work/epoch_1.pth, scenes."""
    folder = tmp_path_factory.mktemp('detector')
    cfg = scenes_config(folder)
    cfg.train_cfg.val_interval = 2
    cfg.default_hooks.checkpoint.interval = 1
    cfg.dump(folder / 'config.py')
    Runner.from_cfg(cfg).train()
    return folder


def test_the_test_program_draws_and_writes(trained, tmp_path, capsys, fresh_visualizer):
    files = [str(trained / 'config.py'), str(trained / 'work/epoch_1.pth'), '--work-dir', str(tmp_path / 'work')]
    images = ['--show-dir', str(tmp_path / 'new/images'), '--show-score', '0']
    assert program.main([*files, *images, '--out', str(tmp_path / 'found.json')]) == 0
    assert 'found.bbox.json' in capsys.readouterr().out
    scenes = sorted((trained / 'scenes/val').iterdir())
    drawn = sorted((tmp_path / 'new/images').iterdir())
    assert [path.name for path in drawn] == [path.name for path in scenes]
    for image, scene in zip(drawn, scenes, strict=True):
        # On the left the truth, on the right the detections.
        plain = np.array(Image.open(scene)).astype(int)
        truth, painted = np.split(np.array(Image.open(image)).astype(int), 2, axis=1)
        assert 0.05 < (np.abs(truth - plain).max(-1) > 40).mean() < 0.8
        assert (np.abs(painted - plain).max(-1) > 40).mean() > 0.05
        assert (np.abs(painted - truth).max(-1) > 40).mean() > 0.05
    boxes = json.loads((tmp_path / 'found.bbox.json').read_text())
    assert boxes
    assert set(boxes[0]) == {'image_id', 'bbox', 'score', 'category_id'}
    assert json.loads((tmp_path / 'found.segm.json').read_text())[0]['segmentation']['size'] == [64, 64]
    # As mmdet keeps them.
    assert program.main([*files, '--out', str(tmp_path / 'found.pkl')]) == 0
    results = mmengine.load(tmp_path / 'found.pkl')
    assert len(results) == 2
    assert set(results[0]['pred_instances']) == {'bboxes', 'scores', 'labels', 'masks'}


@pytest.mark.parametrize('number', [0, 1], ids=['init_detector', 'DetInferencer'])
def test_documented_inference_runs(trained, tmp_path, monkeypatch, number):
    """In upstream OpenMMLab too, which cannot read its own checkpoints with torch 2.6 and later."""
    snippet = re.findall(r'<!-- detector -->\n```python\n(.*?)```', DOCS.read_text(encoding='utf-8'), re.DOTALL)[number]
    image = next((trained / 'scenes/val').iterdir())
    for old, new in {
        "'configs/det/mask-rcnn_flsl-vit-t16_fpn_scenes.py'": repr(str(trained / 'config.py')),
        "'work_dirs/mask-rcnn_flsl-vit-t16_fpn_scenes/epoch_6.pth'": repr(str(trained / 'work/epoch_1.pth')),
        "'image.jpg'": repr(str(image)),
    }.items():
        assert snippet.count(old) == 1, old
        snippet = snippet.replace(old, new)
    monkeypatch.chdir(tmp_path)
    left = dict()
    exec(snippet, left)
    if number == 0:
        instances = left['result'].pred_instances
        assert instances.bboxes.shape[1] == 4
        assert instances.masks.shape[1:] == (64, 64)
        assert left['model'].dataset_meta['classes'] == CLASSES
    else:
        (predictions,) = left['results']['predictions']
        assert set(predictions) == {'bboxes', 'labels', 'masks', 'scores'}
        assert (tmp_path / 'drawn/vis' / image.name).is_file()
