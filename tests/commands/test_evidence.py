"""The comparison as a program: trains, measures, writes, and does nothing twice."""

from __future__ import annotations

import json

import pytest
from mmengine.config import Config
from PIL import Image

from flsl_mm.commands import evidence
from tests.builders.toy_run import toy_config, write_images


@pytest.fixture
def comparison(tmp_path):
    """Two configs of the toy model, and the command that compares them."""
    images = write_images(tmp_path / 'images', 9)
    configs = []
    for name, options in (('one', {}), ('other', dict(model__anchor_width=0.1))):
        cfg = toy_config(images, tmp_path / 'unused', **options)
        cfg.model.backbone.img_size = 48
        configs.append(tmp_path / f'{name}.py')
        cfg.dump(configs[-1])
    command = [images, '--configs', *configs, '--seeds', '1', '--minutes', '0.0001', '--points', '2']
    return [*map(str, command), '--out', str(tmp_path / 'out'), '--', '--scenes', '--num-scenes', '3']


@pytest.mark.slow
def test_it_trains_measures_and_writes_and_does_nothing_twice(comparison, tmp_path, capsys, monkeypatch):
    assert evidence.main(comparison) == 0
    out = capsys.readouterr().out
    assert '2 epochs of 2 steps, 2 trainings' in out
    written = json.loads((tmp_path / 'out' / 'table.json').read_text())
    assert written['steps'] == [2, 4]
    (auc,) = [entry for entry in written['figures'] if 'AUC' in entry['figure']]
    assert set(auc['curves']) == {'one', 'other'}
    assert [len(point) for point in auc['curves']['one']] == [1, 1]
    assert auc['curves']['one'] != auc['curves']['other']
    assert set(auc['trivial']) == {'random weights', 'mean color', 'position alone'}
    assert auc['chance'] == 0.5
    table = (tmp_path / 'out' / 'table.md').read_text()
    assert table in out
    assert f'| {auc["curves"]["one"][-1][0]:.3f} |' in table
    assert Image.open(tmp_path / 'out' / 'curves.png').width > 500

    def fail(*args, **kwargs):
        raise AssertionError('done already')

    monkeypatch.setattr(evidence.subprocess, 'run', fail)
    monkeypatch.setattr(evidence, 'seconds_per_step', fail)
    assert evidence.main(comparison) == 0
    assert (tmp_path / 'out' / 'table.md').read_text() == table
    comparison[comparison.index('--points') + 1] = '1'
    assert evidence.main(comparison) == 2
    assert 'plans another comparison: give the same options, or another --out' in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_that_fails_is_told_with_its_log(comparison, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evidence, 'seconds_per_step', lambda config: 0.01)
    cfg = Config.fromfile(comparison[2])
    cfg.train_cfg.type = 'NoLoop'
    cfg.dump(comparison[2])
    assert evidence.main(comparison) == 2
    log = tmp_path / 'out' / 'one' / 'seed_0' / 'log.txt'
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line.startswith(f'error: training failed, {log}: error: ')
    assert 'NoLoop' in last_line


def test_no_images(comparison, tmp_path, capsys):
    comparison[0] = str(tmp_path / 'nowhere')
    assert evidence.main(comparison) == 2
    assert 'nowhere' in capsys.readouterr().err


def test_means_and_standard_errors_by_hand():
    assert evidence.mean_and_error([2.0]) == (2.0, None)
    # Deviations -1, 0, 1: variance 1 of three values, so the mean's error is 1 / sqrt(3).
    assert evidence.mean_and_error([1.0, 2.0, 3.0]) == pytest.approx((2.0, 3**-0.5))
