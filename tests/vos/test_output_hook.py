"""Masks, images and tables on the disk."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from flsl_mm.vos.metric import COLUMNS, DAVISMetric
from flsl_mm.vos.output_hook import DAVISOutputHook, write_tables
from tests.builders.davis_tree import COLORS, moving_squares


def evaluated_metric() -> DAVISMetric:
    metric = DAVISMetric()
    metric.dataset_meta = dict(keep_going=True)
    masks = moving_squares(4, (1, 2))
    sample = dict(video='a', index=0, predictions=np.where(masks == 2, 0, masks), protocol=dict(topk=5))
    metric.process(dict(masks=[masks]), [sample])
    metric.process(dict(), [dict(video='b', index=1, error='no first mask, at all')])
    metric.evaluate(size=2)
    return metric


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def test_tables(tmp_path):
    write_tables(tmp_path, evaluated_metric())
    (overall,) = read_csv(tmp_path / 'global_results.csv')
    assert float(overall['J&F-Mean']) == 0.5
    assert (overall['videos'], overall['objects'], overall['failed_videos']) == ('1', '2', '1')
    rows = read_csv(tmp_path / 'per_object_results.csv')
    assert [row['object'] for row in rows] == ['a_1', 'a_2', 'b']
    assert [row['J-Mean'] for row in rows] == ['1.000000', '0.000000', '']
    assert [row['error'] for row in rows] == ['', '', 'no first mask, at all']
    assert set(COLUMNS) <= set(rows[0])
    assert json.loads((tmp_path / 'protocol.json').read_text()) == dict(topk=5)
    assert len(list(tmp_path.iterdir())) == 3


def runner_of(tmp_path: Path, lines: list[str]) -> SimpleNamespace:
    evaluator = SimpleNamespace(metrics=[evaluated_metric()])
    return SimpleNamespace(work_dir=str(tmp_path), test_evaluator=evaluator, logger=SimpleNamespace(info=lines.append))


@pytest.mark.parametrize(('images', 'expected'), [('strip', ['a.png']), ('gif', ['a.gif']), ('none', [])])
def test_hook_writes_a_video(tmp_path, images, expected):
    masks = moving_squares(3, (2,))
    names = np.array(['00005', '00006', '00007'])
    batch = dict(video=['a'], frame_names=[names], frames=[COLORS[masks]], masks=[masks])
    lines = []
    runner = runner_of(tmp_path, lines)
    hook = DAVISOutputHook(images=images)
    hook.after_test_iter(runner, 0, batch, [dict(video='a', index=0, predictions=masks)])
    hook.after_test_iter(runner, 1, dict(video=['b'], error=['gone']), [dict(video='b', index=1, error='gone')])
    hook.after_test_epoch(runner, {})
    folder = tmp_path / 'davis'
    assert sorted(path.name for path in (folder / 'masks').iterdir()) == ['a']
    assert sorted(path.name for path in (folder / 'masks' / 'a').iterdir()) == ['00005.png', '00006.png', '00007.png']
    with Image.open(folder / 'masks' / 'a' / '00006.png') as image:
        assert image.mode == 'P'
        np.testing.assert_array_equal(np.asarray(image), masks[1])
    assert sorted(path.name for path in folder.glob('images/*')) == expected
    assert (folder / 'global_results.csv').is_file()
    assert str(folder) in lines[-1]


def test_hook_arguments(tmp_path):
    with pytest.raises(ValueError, match='images must be one of'):
        DAVISOutputHook(images='mp4')
    lines = []
    DAVISOutputHook(out_dir=str(tmp_path / 'elsewhere')).after_test_epoch(runner_of(tmp_path, lines), {})
    assert (tmp_path / 'elsewhere' / 'protocol.json').is_file()
