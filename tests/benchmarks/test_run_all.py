"""The program that runs all benchmarks: time limits, failures, one file, and options that the programs know."""

import importlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
import run_all
import train_step

WRITE = """
import json, sys
out = sys.argv[sys.argv.index('--out') + 1]
json.dump(dict(machine={}, step_seconds=0.5, arguments=sys.argv[1:3]), open(out, 'w'))
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
def plan(monkeypatch, tmp_path):
    """Put short programs in the place of the benchmarks: their texts by name; each gets its name as an option."""

    def replace(**programs: str) -> None:
        monkeypatch.setattr(run_all, 'FOLDER', tmp_path)
        for name, text in programs.items():
            (tmp_path / f'{name}.py').write_text(text)
        monkeypatch.setattr(run_all, 'plan', lambda device: {name: [f'{name}.py', name] for name in programs})

    return replace


@pytest.fixture
def run(tmp_path):
    """Run the program and give its exit code and its file's content, if there is one."""

    def call(*options) -> tuple[int, dict | None]:
        out = tmp_path / 'all.json'
        code = run_all.main(['--out', str(out), '--device', 'cpu', *map(str, options)])
        return code, json.loads(out.read_text()) if out.exists() else None

    return call


def alive(process_id: int) -> bool:
    """Return whether a process runs still (and is not only waited for)."""
    status = Path(f'/proc/{process_id}/stat')
    return status.exists() and status.read_text().split()[2] != 'Z'


def test_one_file_of_all_numbers(plan, run, capfd):
    plan(train_step=WRITE, vos=WRITE)
    code, results = run()
    assert code == 0
    assert list(results) == ['machine', 'benchmarks', 'failed']
    assert results['machine']['cores'] >= 1
    assert results['failed'] == {}
    for name, numbers in results['benchmarks'].items():
        assert numbers.pop('program_seconds') < 60
        assert numbers == dict(step_seconds=0.5, arguments=[name, '--out'])
    printed = capfd.readouterr().out
    assert printed.index('1/2 train_step: train_step.py train_step\n') < printed.index('table of train_step\n')
    assert '2 of 2 benchmarks in ' in printed


def test_a_failure_is_named_and_the_others_run(plan, run, capfd):
    plan(first=FAIL, second=WRITE)
    code, results = run()
    assert code == 1
    assert results['failed'] == {'first': 'exit code 3'}
    assert list(results['benchmarks']) == ['second']
    assert 'failed: first, exit code 3' in capfd.readouterr().err


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='looks for the child in /proc')
def test_time_limit_ends_a_benchmark_and_its_children(plan, run, tmp_path, monkeypatch):
    note = tmp_path / 'child'
    monkeypatch.chdir(tmp_path)
    plan(child=HANG, last=WRITE)
    start = time.monotonic()
    code, results = run('--limit-seconds', 3)
    assert code == 1
    assert time.monotonic() - start < 30
    assert results['failed'] == {'child': 'took longer than 3 s'}
    assert list(results['benchmarks']) == ['last']
    child = int(note.read_text())
    if alive(child):
        os.kill(child, signal.SIGKILL)
        pytest.fail('the child of the benchmark still ran')


def test_only_some(plan, run, capfd):
    plan(one=FAIL, two=WRITE)
    code, results = run('--only', 'two')
    assert (code, list(results['benchmarks'])) == (0, ['two'])


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--limit-seconds', '0'], '--limit-seconds must be positive'),
        (['--minutes', '-1'], '--minutes must be positive'),
        (['--out', 'no/folder/all.json'], 'no/folder for --out'),
        (['--only', 'three'], 'no benchmark three: choose from one, two'),
    ],
)
def test_mistakes(plan, run, capfd, options, line):
    plan(one=FAIL, two=FAIL)
    assert run(*options) == (2, None)
    error = capfd.readouterr().err
    assert error.startswith('error: ')
    assert line in error


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_programs_know_their_options(device):
    planned = run_all.plan(device)
    assert {script for script, *_ in planned.values()} == {'train_step.py', 'loader.py', 'detector.py', 'vos.py'}
    for script, *options in planned.values():
        args = importlib.import_module(Path(script).stem).get_parser().parse_args([*options, '--out', 'numbers.json'])
        assert getattr(args, 'device', device) == device
        assert getattr(args, 'config', Path(__file__)).is_file()
    s16 = run_all.plan('cuda')['train_step_s16']
    assert ' '.join(s16) == 'train_step.py --device cuda --dtype bfloat16 --batch-size 256'


@pytest.mark.slow
def test_the_plan_of_a_gpu_runs_small_on_the_cpu(run, capfd, fresh_logger, monkeypatch):
    """Every program with the very options it will get, so that none of them dies on an import or an option."""
    monkeypatch.setitem(train_step.COPY_BYTES, 'cpu', 2**12)
    monkeypatch.setitem(train_step.MATRIX_SIDE, 'cpu', 8)
    code, results = run('--device', 'cuda', '--dry-run')
    assert (code, results['failed']) == (0, {})
    assert list(results['benchmarks']) == list(run_all.plan('cuda'))
    assert results['benchmarks']['compiled_s16']['setting']['dtype'] == 'bfloat16'
    assert {'compiled_step', 'compiled_limit'} <= set(results['benchmarks']['compiled_s16']['seconds'])
    assert 'run_images_per_second' in results['benchmarks']['loader']['train']
    assert 'TORCHDYNAMO_DISABLE' not in os.environ


def test_what_there_is_no_time_for_is_named(plan, run, monkeypatch):
    plan(first=WRITE, second=WRITE)
    run_one = run_all.run_one

    def slow(command, limit):
        assert limit <= 6
        problem = run_one(command, 60)
        now = time.monotonic()
        monkeypatch.setattr(run_all.time, 'monotonic', lambda: now + 7)
        return problem

    monkeypatch.setattr(run_all, 'run_one', slow)
    code, results = run('--minutes', 0.1)
    assert code == 1
    assert (list(results['benchmarks']), results['failed']) == (['first'], {'second': 'no time was left'})
