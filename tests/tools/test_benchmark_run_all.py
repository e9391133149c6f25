"""The program that runs all benchmarks: time limits, failures, one file, and options that the programs know."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / 'tools' / 'benchmarks'
WRITE = """
import json, sys
out = sys.argv[sys.argv.index('--out') + 1]
json.dump(dict(machine={}, step_seconds=0.5, arguments=sys.argv[1:]), open(out, 'w'))
print('table of', sys.argv[1])
"""
FAIL = 'raise SystemExit(3)'
HANG = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
open(sys.argv[1], 'w').write(str(child.pid))
time.sleep(60)
"""


@pytest.fixture
def run_all(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    program = importlib.import_module('run_all')
    monkeypatch.setattr(program, 'LEAST_SECONDS', 0.2)
    return program


@pytest.fixture
def plan(run_all, monkeypatch, tmp_path):
    """Put short programs in the place of the benchmarks: name, text of the program, and what else it has."""

    def replace(*programs: tuple) -> None:
        benchmarks = []
        for name, text, *rest in programs:
            script = tmp_path / f'{name}.py'
            script.write_text(text)
            weight, options, steps = rest or (1, (name,), ())
            benchmarks.append(run_all.Benchmark(name, str(script), weight, options, steps))
        monkeypatch.setattr(run_all, 'plan', lambda device: benchmarks)

    return replace


def alive(process_id: int) -> bool:
    """Tell whether a process runs still (and is not only waited for)."""
    status = Path(f'/proc/{process_id}/stat')
    return status.exists() and status.read_text().split()[2] != 'Z'


def test_one_file_of_all_numbers(run_all, plan, tmp_path, capfd):
    step = ('train_step', WRITE)
    plan(step, ('views', WRITE, 1, ('views',), ('train_step', 'missing')), ('vos', WRITE, 1, ('vos',), ('missing',)))
    out = tmp_path / 'all.json'
    assert run_all.main(['--out', str(out), '--device', 'cpu', '--budget-seconds', '60']) == 0
    results = json.loads(out.read_text())
    assert list(results['benchmarks']) == ['train_step', 'views', 'vos']
    assert results['machine']['cores'] >= 1
    assert (results['failed'], results['left_out']) == ({}, [])
    numbers = results['benchmarks']['views']
    assert numbers['options'] == ['views']
    assert numbers['seconds_needed'] < 60
    assert 'machine' not in numbers
    steps = numbers['arguments'][numbers['arguments'].index('--step-json') + 1 :]
    assert [Path(step).name for step in steps] == ['train_step.json']
    assert '--step-json' not in results['benchmarks']['vos']['arguments']
    printed = capfd.readouterr().out
    assert 'table of views\n' in printed
    assert '3 of 3 benchmarks' in printed


def test_failure_is_named_and_the_others_run(run_all, plan, tmp_path, capfd):
    plan(('first', FAIL), ('second', WRITE, 1, ('second',), ('first',)))
    out = tmp_path / 'all.json'
    assert run_all.main(['--out', str(out), '--device', 'cpu', '--budget-seconds', '60']) == 1
    results = json.loads(out.read_text())
    assert results['failed'] == {'first': 'exit code 3'}
    assert list(results['benchmarks']) == ['second']
    assert 'failed: first, exit code 3' in capfd.readouterr().err


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='looks for the child in /proc')
def test_time_limit_ends_a_benchmark_and_its_children(run_all, plan, tmp_path, capfd):
    note = tmp_path / 'child'
    plan(('slow', HANG, 1, (str(note),), ()), ('heavy', WRITE, 1000, ('heavy',), ()), ('last', WRITE, 1e-9, (), ()))
    start = time.monotonic()
    # The slow one gets 1/1001 of the time.
    assert run_all.main(['--out', str(tmp_path / 'all.json'), '--device', 'cpu', '--budget-seconds', '3000']) == 1
    assert time.monotonic() - start < 30
    results = json.loads((tmp_path / 'all.json').read_text())
    assert results['failed'] == {'slow': 'took longer than 3 s'}
    assert list(results['benchmarks']) == ['heavy', 'last']
    child = int(note.read_text())
    if alive(child):
        os.kill(child, signal.SIGKILL)
        pytest.fail('the child of the benchmark still ran')


def test_what_does_not_fit_is_left_out(run_all, plan, tmp_path, capfd, monkeypatch):
    plan(('light', WRITE, 0.001, ('light',), ()), ('heavy', WRITE, 1, ('heavy',), ()))
    out = tmp_path / 'all.json'
    assert run_all.main(['--out', str(out), '--device', 'cpu', '--budget-seconds', '60']) == 0
    assert json.loads(out.read_text())['left_out'] == ['light']
    assert 'left out: light' in capfd.readouterr().out


def test_only_some(run_all, plan, tmp_path, capfd):
    plan(('one', FAIL), ('two', WRITE))
    out = tmp_path / 'all.json'
    assert run_all.main(['--out', str(out), '--device', 'cpu', '--only', 'two']) == 0
    assert list(json.loads(out.read_text())['benchmarks']) == ['two']
    assert run_all.main(['--out', str(out), '--device', 'cpu', '--only', 'three']) == 2
    assert 'no benchmark three: choose from one, two' in capfd.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'line'), [(['--budget-seconds', '0'], 'positive'), (['--out', 'no/folder/all.json'], 'no/folder')]
)
def test_mistakes(run_all, plan, tmp_path, capfd, arguments, line):
    plan(('one', WRITE))
    assert run_all.main(['--out', str(tmp_path / 'all.json'), '--device', 'cpu', *arguments]) == 2
    error = capfd.readouterr().err
    assert error.startswith('error: ')
    assert line in error


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_programs_know_their_options(run_all, monkeypatch, device):
    pytest.importorskip('mmdet')
    monkeypatch.setattr('torch.cuda.is_available', lambda: device == 'cuda')
    planned = run_all.plan(device)
    scripts = {benchmark.script for benchmark in planned}
    names = ('train_step', 'input_pipeline', 'pretrain', 'views', 'detector', 'scaling', 'vos')
    assert scripts == {f'{name}.py' for name in names}
    for position, benchmark in enumerate(planned):
        options = [*benchmark.options, '--out', 'numbers.json']
        options += ['--step-json', 'step.json'] if benchmark.steps else []
        assert set(benchmark.steps) <= {earlier.name for earlier in planned[:position]}
        program = importlib.import_module(Path(benchmark.script).stem)
        if hasattr(program, 'get_parser'):
            program.get_parser().parse_args(options)
        else:
            monkeypatch.setattr(sys, 'argv', [benchmark.script, *options])
            program.parse_args()
