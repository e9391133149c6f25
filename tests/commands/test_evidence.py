"""The comparison as a program: trains, measures, writes, and does nothing twice."""

import json
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from PIL import Image

from flsl_mm.commands import evidence
from flsl_mm.commands.evidence import plan, table, training
from tests.builders.toy_run import toy_config, write_images


@pytest.fixture
def comparison(tmp_path):
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
    assert set(auc['trivial']) == {'random weights', 'mean color', 'position alone', 'color and position'}
    assert auc['chance'] == 0.5
    printed = (tmp_path / 'out' / 'table.md').read_text()
    assert printed in out
    assert f'| {auc["curves"]["one"][-1][0]:.3f} |' in printed
    assert Image.open(tmp_path / 'out' / 'curves.png').width > 500

    def fail(*args, **kwargs):
        raise AssertionError('done already')

    monkeypatch.setattr(training.subprocess, 'run', fail)
    monkeypatch.setattr(plan, 'seconds_per_step', fail)
    assert evidence.main(comparison) == 0
    assert (tmp_path / 'out' / 'table.md').read_text() == printed
    comparison[comparison.index('--points') + 1] = '1'
    assert evidence.main(comparison) == 2
    assert 'plans another comparison: give the same options, or another --out' in capsys.readouterr().err
    comparison[comparison.index('--points') + 1] = '2'
    stops_itself(comparison, tmp_path / 'out', capsys, monkeypatch)


def stops_itself(comparison, out, capsys, monkeypatch):
    """A training that time ends counts as far as it got, and what there is no time for is not measured."""
    for file in out.glob('other/seed_0/epoch_2_backbone.*'):
        file.unlink()

    def end(command, timeout, **kwargs):
        assert 0 < timeout <= 0.7 * 60 / (1 if 'other' in str(command) else 2)
        raise training.subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(training.subprocess, 'run', end)
    assert evidence.main([*comparison[:1], '--total-minutes', '1', *comparison[1:]]) == 0
    said = capsys.readouterr().out
    assert 'the time for training is over: this one was ended' in said
    assert 'after 2 of 4 steps; seeds: one 1, other 1' in said
    assert json.loads((out / 'table.json').read_text())['steps'] == [2]
    monkeypatch.setattr(plan.Clock, 'left_for_training', lambda clock: -1)
    assert evidence.main(comparison) == 0
    assert '2 of 2 trainings were not begun' in capsys.readouterr().out
    for file in out.glob('other/seed_0/*_backbone.pth'):
        file.unlink()
    assert evidence.main(comparison) == 2
    assert 'raise --total-minutes' in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_that_fails_is_told_with_its_log(comparison, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plan, 'seconds_per_step', lambda config: 0.01)
    cfg = Config.fromfile(comparison[2])
    cfg.train_cfg.type = 'NoLoop'
    cfg.dump(comparison[2])
    assert evidence.main(comparison) == 2
    log = tmp_path / 'out' / 'one' / 'seed_0' / 'log.txt'
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line.startswith(f'error: training failed, {log}: error: ')
    assert 'NoLoop' in last_line


@pytest.mark.parametrize('option', ['--total-minutes', '--minutes'])
@pytest.mark.parametrize('value', ['0', 'nan', 'x'])
def test_what_cannot_be(comparison, option, value, capsys):
    with pytest.raises(SystemExit):
        evidence.main([*comparison[:1], option, value, *comparison[1:]])
    assert option in capsys.readouterr().err
    assert evidence.main(['nowhere', *comparison[1:]]) == 2
    assert 'nowhere' in capsys.readouterr().err


def test_durations_and_means_by_hand():
    args = SimpleNamespace(minutes=None, total_minutes=10.0, seeds=2, configs=['a', 'b'])
    # 7 of 10 minutes for four trainings, each a quarter of a minute less, and a fifth of that for all but the steps.
    assert plan.minutes_of_one(args) == pytest.approx(0.8 * 1.5)
    args.minutes = 3.0
    assert plan.minutes_of_one(args) == 3
    args.minutes = args.total_minutes = None
    assert plan.minutes_of_one(args) == 10
    assert table.mean_and_error([2.0]) == (2.0, None)
    # Deviations -1, 0, 1: variance 1 of three values, so the mean's error is 1 / sqrt(3).
    assert table.mean_and_error([1.0, 2.0, 3.0]) == pytest.approx((2.0, 3**-0.5))
