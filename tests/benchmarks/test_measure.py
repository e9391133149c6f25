"""What the benchmarks share: turns, warm-up, waiting for a GPU, ratios and one JSON file."""

import json
from importlib.metadata import version

import measure
import pytest
import torch

from tests.builders.benchmarks import Clock


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def test_turns_alternate_and_the_warmup_does_not_count(clock):
    durations = {'figure': iter([50, 9, 1, 2, 3]), 'limit': iter([70, 8, 4, 5, 6])}
    order = []

    def work(name):
        order.append(name)
        clock.now += next(durations[name])

    works = {name: lambda name=name: work(name) for name in durations}
    assert measure.time_alternating(works, repeats=3, warmup=2) == dict(figure=[1, 2, 3], limit=[4, 5, 6])
    assert order == ['figure', 'limit'] * 5


def test_the_device_is_waited_for(clock, monkeypatch):
    """Kernels that were queued before do not count, those that the work queues do."""
    queued = [7.0]

    def synchronize():
        clock.now += sum(queued)
        queued.clear()

    monkeypatch.setattr(torch.cuda, 'synchronize', synchronize)
    assert measure.timed(lambda: queued.append(3.0), 'cuda') == 3
    assert queued == []


def test_a_ratio_is_that_of_each_turn():
    # 2, 3 and 1; the ratio of the medians would be 1.
    assert measure.ratio([2, 30, 4], [1, 10, 4]) == 2
    assert measure.medians(dict(step=[5, 1, 3])) == dict(step_seconds=3)
    with pytest.raises(ValueError):
        measure.ratio([1, 2], [1])


def test_program(tmp_path, capsys):
    parser = measure.get_parser('Measures nothing.', repeats=4)
    out = tmp_path / 'numbers.json'

    def program(args):
        rows = [measure.row('step', 1.5, 'bare ViTs', 1.25, '1.20')]
        measure.print_table('nothing', args, dict(peak_memory=dict(process_gb=0.5)), rows)
        return dict(answer=42)

    assert measure.main(parser, program, ['--device', 'cpu', '--out', str(out)]) == 0
    numbers = json.loads(out.read_text())
    assert numbers['setting'] == dict(repeats=4, threads=None, device='cpu')
    assert numbers['machine']['torch'] == version('torch')
    assert numbers['machine']['torch_threads'] == torch.get_num_threads()
    assert numbers['answer'] == 42
    printed = capsys.readouterr().out
    assert printed.startswith(f'nothing, cpu, {torch.get_num_threads()} threads, median of 4\n')
    assert ['step', '1,500.0', 'ms', 'bare', 'ViTs', '1,250.0', 'ms', '1.20'] in [*map(str.split, printed.splitlines())]
    assert printed.endswith('peak memory: 0.50 GB of the process\n')


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--repeats', '0'], '--repeats must be at least 1, got 0'),
        (['--out', '/missing/a.json'], 'no folder /missing for --out'),
        (['--device', 'cuda'], '--device cuda, but torch finds no GPU'),
    ],
)
def test_mistakes_show_before_anything_is_measured(monkeypatch, capsys, options, line):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    measured = []
    assert measure.main(measure.get_parser('', repeats=1), measured.append, options) == 2
    assert capsys.readouterr().err == f'error: {line}\n'
    assert measured == []
