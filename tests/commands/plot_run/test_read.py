"""What is read of a run: every log of a resumed one, half a line at the end, the verdict."""

import json
import os

import pytest

from flsl_mm.commands.plot_run.read import read_run, read_runs


def write_run(folder, lines, start='20260101_000000', verdict=None):
    log = folder / start / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    if verdict:
        (folder / 'verdict.json').write_text(json.dumps(verdict))
    return log


def test_a_resumed_run_is_one_curve(tmp_path):
    write_run(tmp_path, [dict(loss=float(step), iter=step, step=step) for step in (1, 2, 3)])
    log = write_run(tmp_path, [dict(loss=30.0, iter=3, step=3), dict(loss=None, iter=4, step=4)], '20260102_000000')
    with log.open('a') as file:
        file.write('{"loss": 5.0, "it')  # the run continues, or was killed
    run = read_run(tmp_path, 'a')
    assert run.curves == {'loss': {1: 1.0, 2: 2.0, 3: 30.0}}
    assert run.last_step == 4
    assert run.verdict is None


def test_probes_validation_and_measurements(tmp_path):
    lines = [
        dict(loss=1.0, lr=0.1, time=3.0, iter=100, epoch=1, step=100),
        {'probe/scenes/knn': 0.5, 'step': 100},
        {'coco/bbox_mAP': 0.3, 'time': 2.0, 'step': 1},
    ]
    measurements = [dict(step=1, rank=9.0, between_share=None), dict(step=100, rank=8.0, between_share=0.5)]
    write_run(tmp_path, lines, verdict=dict(verdict='collapsed: low rank', measurements=measurements))
    run = read_run(tmp_path, 'a')
    trained = {'loss': {100: 1.0}, 'lr': {100: 0.1}}
    assert run.curves == trained | {'probe/scenes/knn': {100: 0.5}, 'val/coco/bbox_mAP': {1: 0.3}}
    assert run.measurements == {'rank': {1: 9.0, 100: 8.0}, 'between_share': {100: 0.5}}
    assert (run.verdict, run.last_step) == ('collapsed: low rank', 100)
    assert run.counts_epochs
    # A run by iteration validates by step.
    write_run(tmp_path / 'other', [dict(loss=1.0, iter=100, step=100), {'coco/bbox_mAP': 0.3, 'step': 100}])
    run = read_run(tmp_path / 'other', 'a')
    assert run.curves['val/coco/bbox_mAP'] == {100: 0.3}
    assert not run.counts_epochs


def test_names_are_as_long_as_needed(tmp_path):
    folders = [tmp_path / 'a/seed_0', tmp_path / 'b/seed_0', tmp_path / 'b/seed_1']
    for folder in folders:
        write_run(folder, [dict(loss=1.0, iter=1, step=1)])
    assert [run.name for run in read_runs([*folders, folders[0]])] == ['a/seed_0', 'b/seed_0', 'seed_1']
    assert [run.name for run in read_runs(folders[1:])] == ['seed_0', 'seed_1']


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no folder .*none: give the work folder of a run'):
        read_run(tmp_path / 'none', 'a')
    with pytest.raises(FileNotFoundError, match=r'no log .*scalars\.json.* in'):
        read_run(tmp_path, 'a')
    write_run(tmp_path, [])
    with pytest.raises(ValueError, match='no numbers yet'):
        read_run(tmp_path, 'a')
    (tmp_path / 'verdict.json').write_text('[]')
    with pytest.raises(ValueError, match=r'verdict\.json is not a file of verdict and measurements'):
        read_run(tmp_path, 'a')


@pytest.mark.parametrize(
    'line',
    [
        '[' * 100_000,
        '{"loss": 1' + '0' * 400 + ', "iter": 9, "step": 4}',
        '{"loss": 1, "step": 1' + '0' * 400 + '}',
        '[]',
    ],
    ids=['deep', 'huge', 'huge step', 'list'],
)
def test_lines_that_no_run_writes_are_left_out(line, tmp_path):
    log = write_run(tmp_path, [dict(loss=1.0, iter=1, step=1)], verdict=dict(verdict='healthy', measurements=[]))
    with log.open('a') as file:
        file.write(line + '\n')
    assert read_run(tmp_path, 'a').curves == {'loss': {1: 1.0}}


def test_pipes_are_not_waited_for(tmp_path):
    log = write_run(tmp_path, [dict(loss=1.0, iter=1, step=1)])
    os.mkfifo(tmp_path / 'verdict.json')
    with pytest.raises(ValueError, match=r'verdict\.json is not a file of verdict and measurements: remove it'):
        read_run(tmp_path, 'a')
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(ValueError, match='is not a regular file but a pipe or a device'):
        read_run(tmp_path, 'a')
