"""The benchmark of scaling: bytes by hand, the estimate by hand, and what two processes really send."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from mmengine.registry import MODELS

FOLDER = Path(__file__).parents[2] / 'tools' / 'benchmarks'
PRETRAIN = FOLDER.parents[1] / 'configs' / 'pretrain'
# ViT-S/16: patches, 12 blocks, norm (positions are fixed); the head's MLP and 4096 directions of prototypes.
BLOCK = 2 * 2 * 384 + 384 * 3 * 384 + 3 * 384 + 384 * 384 + 384 + 2 * 4 * 384 * 384 + 5 * 384
BACKBONE = 3 * 16 * 16 * 384 + 384 + 12 * BLOCK + 2 * 384
HEAD = (384 + 1) * 2048 + (2048 + 1) * 2048 + (2048 + 1) * 256 + 256 * 4096


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module('scaling')


@pytest.fixture
def run(scaling, monkeypatch):
    """Run the program without its two processes, which have a test of their own."""
    sent = dict(gradients=8, statistics=4)
    runs = {
        1: dict(step_seconds=0.3, bytes_expected=sent),
        2: dict(step_seconds=0.4, bytes_expected=sent, bytes_sent=sent, all_reduce_seconds=0.01),
    }
    monkeypatch.setattr(scaling, 'run_processes', lambda processes, batch_size, repeats: runs[processes])

    def call(*arguments) -> int:
        return scaling.measure.main(scaling.get_parser(), scaling.run, [*map(str, arguments)])

    call.runs = runs
    return call


def step_file(path: Path, config: str = 'flsl_vit-s16', **numbers) -> Path:
    """Write what train_step.py would."""
    path.write_text(json.dumps(dict(setting=dict(config=f'configs/pretrain/{config}.py'), **numbers)))
    return path


def test_ring_by_hand(scaling):
    # 4 GPUs, 1 GB: each sends and receives 3/4 of it twice, 1.5 GB at 8 Gbit/s; 6 hops for each of 2 messages.
    assert scaling.ring_seconds(4, 10**9, 8, 0.001, messages=2) == pytest.approx(1.5 + 0.012)


def test_estimates(run, tmp_path, capsys):
    out = tmp_path / 'scaling.json'
    step = step_file(tmp_path / 'step.json', step_seconds=0.2, parts_ms=dict(backward=80.0))
    bandwidths = ['--bandwidth-gbps', 25, 100, '--intra-gbps', 800, '--latency-us', 20]
    assert run('--configs', PRETRAIN / 'flsl_vit-s16.py', '--step-json', step, *bandwidths, '--out', out) == 0
    numbers = json.loads(out.read_text())
    model = numbers['models']['flsl_vit-s16']
    assert model['gradient_bytes'] == 4 * (BACKBONE + HEAD)
    assert model['statistics_bytes'] == 4 * 4097
    rows = {(row['gpus'], column): row for column in (0, 1) for row in model['estimates'][column::2]}
    assert len(rows) == 2 * 9
    assert {gpus for gpus, _ in rows} == {2, 4, 8, 16, 32, 64, 128, 256, 512}
    assert [rows[8, column]['gbps'] for column in (0, 1)] == [800, 800]
    assert [rows[16, column]['gbps'] for column in (0, 1)] == [25, 100]
    row = rows[16, 0]
    # 112.6 MB are five messages of at most 25 MiB; 30 hops of 20 µs each.
    gradients = 30 / 16 * model['gradient_bytes'] / (25e9 / 8) + 5 * 30 * 20e-6
    statistics = 30 / 16 * model['statistics_bytes'] / (25e9 / 8) + 30 * 20e-6
    assert row['gradient_seconds'] == pytest.approx(gradients)
    assert row['statistics_seconds'] == pytest.approx(statistics)
    assert row['efficiency_in_turn'] == pytest.approx(0.2 / (0.2 + statistics + gradients))
    assert gradients < 0.08  # hidden behind the backward pass, but for the last message
    assert row['efficiency_overlapped'] == pytest.approx(0.2 / (0.2 + statistics + gradients / 5))
    exposed = rows[512, 0]['gradient_seconds'] - 0.08
    assert exposed > rows[512, 0]['gradient_seconds'] / 5
    expected = 0.2 / (0.2 + rows[512, 0]['statistics_seconds'] + exposed)
    assert rows[512, 0]['efficiency_overlapped'] == pytest.approx(expected)
    printed = capsys.readouterr().out
    assert f'{row["efficiency_overlapped"]:.1%} / {row["efficiency_in_turn"]:.1%}' in printed
    assert 'assumed: one ring' in printed
    assert numbers['assumptions']
    assert numbers['measured_here']['efficiency'] == pytest.approx(0.3 / 0.4)


def test_steps_belong_to_their_config(run, tmp_path, capsys):
    out = tmp_path / 'scaling.json'
    step = step_file(tmp_path / 'step.json', step_seconds=0.2)
    configs = [PRETRAIN / f'flsl_vit-{name}.py' for name in ('s16', 'b16')]
    assert run('--configs', *configs, '--step-json', step, '--backward-share', 0.25, '--out', out) == 0
    models = json.loads(out.read_text())['models']
    assert models['flsl_vit-s16']['backward_seconds'] == pytest.approx(0.05)
    assert models['flsl_vit-b16']['step_seconds'] is None
    assert 'efficiency_overlapped' not in models['flsl_vit-b16']['estimates'][0]
    assert models['flsl_vit-b16']['gradient_bytes'] > 3 * models['flsl_vit-s16']['gradient_bytes']
    assert 'step not measured' in capsys.readouterr().out


def test_bytes_that_do_not_agree_are_an_error(run, capsys):
    run.runs[2]['bytes_sent'] = dict(gradients=9, statistics=4)
    assert run('--configs', PRETRAIN / 'flsl_vit-s16.py') == 2
    assert 'expected' in capsys.readouterr().err


def test_centring_sends_as_much_again(scaling):
    small = importlib.import_module('two_processes').SMALL_MODEL
    assert scaling.statistics_bytes(MODELS.build(small)) == 4 * 1025
    assert scaling.statistics_bytes(MODELS.build(dict(small, center_momentum=0.9))) == 2 * 4 * 1025


def test_two_processes_send_what_is_expected(scaling):
    numbers = scaling.run_processes(2, batch_size=1, repeats=1)
    assert numbers['bytes_sent'] == numbers['bytes_expected']
    assert numbers['bytes_expected']['statistics'] == 4 * 1025
    assert numbers['step_seconds'] > 0
    assert numbers['all_reduce_seconds'] > 0


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['--configs', 'none.py'], 'no config'),
        (['--bandwidth-gbps', '0'], 'positive'),
        (['--backward-share', '1.5'], '--backward-share'),
        (['--step-seconds', '-1'], 'more than 0 seconds'),
    ],
)
def test_mistakes(run, capsys, arguments, line):
    assert run(*arguments) == 2
    assert line in capsys.readouterr().err
