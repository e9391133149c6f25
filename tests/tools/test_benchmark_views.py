"""The benchmark of the device-side views: its bytes, its parts and its share of a training step."""

from __future__ import annotations

import importlib
import json
import statistics
from pathlib import Path

import pytest
import torch

from flsl_mm.selfsup import FLSLDataPreprocessor

FOLDER = Path(__file__).parents[2] / 'tools' / 'benchmarks'
TINY = ['--batch-size', '2', '--size', '96', '--device', 'cpu', '--repeats', '3', '--threads', '1']


@pytest.fixture
def views(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    program = importlib.import_module('views')
    monkeypatch.setitem(program.COPY_BYTES, 'cpu', 2**20)
    return program


@pytest.fixture
def run(views):
    return lambda *arguments: views.measure.main(views.get_parser(), views.run, [*TINY, *map(str, arguments)])


def step_file(path: Path, **changes) -> Path:
    """Write what train_step.py would."""
    setting = dict(dict(config='flsl.py', batch_size=2, device='cpu'), **changes)
    path.write_text(json.dumps(dict(setting=setting, step_seconds=0.5)))
    return path


def test_numbers(run, tmp_path, capsys):
    out = tmp_path / 'views.json'
    assert run('--step-json', step_file(tmp_path / 'step.json'), '--out', out) == 0
    numbers = json.loads(out.read_text())
    # A byte for each value of the loader's image, four for each value of the teacher view, 224 and two 96 pixel crops.
    assert numbers['least_bytes'] == 2 * 3 * (96**2 + 4 * (96**2 + 224**2 + 2 * 96**2))
    seconds = numbers['seconds']
    assert {len(seconds[name]) for name in ('views', 'crops', 'photometric', 'copy')} == {3}
    for part in ('views', 'crops', 'photometric'):
        assert numbers[f'{part}_seconds'] == statistics.median(seconds[part])
    # A copy of 1 MiB reads and writes it.
    bandwidth = 2**21 / statistics.median(seconds['copy'])
    assert numbers['bandwidth_gb_per_second'] == pytest.approx(bandwidth / 1e9)
    assert numbers['limit_seconds'] == pytest.approx(numbers['least_bytes'] / bandwidth)
    limits = [numbers['least_bytes'] * copy / 2**21 for copy in seconds['copy']]
    ratios = [ours / bare for ours, bare in zip(seconds['views'], limits, strict=True)]
    assert numbers['ratio'] == pytest.approx(statistics.median(ratios))
    assert numbers['share_of_step'] == numbers['views_seconds'] / 0.5
    printed = capsys.readouterr().out
    assert f'share of the step   {numbers["share_of_step"]:9.1%}\n' in printed  # the bound is for a GPU
    assert f'ratio               {numbers["ratio"]:9.2f}' in printed


def test_step_that_is_not_known(run, tmp_path, capsys):
    assert run('--out', tmp_path / 'views.json') == 0
    assert json.loads((tmp_path / 'views.json').read_text())['share_of_step'] is None
    assert 'not measured' in capsys.readouterr().out


@pytest.mark.parametrize(('share', 'verdict'), [(0.1, ': reached'), (0.101, ': not reached')])
def test_bound_on_a_gpu(views, capsys, share, verdict):
    args = views.get_parser().parse_args(['--device', 'cuda'])
    names = ('views', 'crops', 'photometric', 'limit')
    numbers = {f'{name}_seconds': 1.0 for name in names}
    views.report(args, dict(numbers, least_bytes=1, bandwidth_gb_per_second=1.0, ratio=1.0, share_of_step=share))
    assert verdict in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['--batch-size', '0'], '--batch-size and --size'),
        (['--step-seconds', '0'], 'more than 0 seconds'),
        (['--step-json', 'missing.json'], 'missing.json'),
        (['--repeats', '0'], '--repeats'),
    ],
)
def test_mistakes(run, capsys, arguments, line):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.startswith('error: ')


@pytest.mark.parametrize('changes', [dict(batch_size=4), dict(device='cuda')])
def test_step_of_another_setting_is_refused(run, tmp_path, capsys, changes):
    assert run('--step-json', step_file(tmp_path / 'step.json', **changes)) == 2
    assert f'was measured with {next(iter(changes))}' in capsys.readouterr().err


@pytest.mark.parametrize('content', ['{}', 'no JSON', '{"step_seconds": 1}', '{"step_seconds": "1", "setting": {}}'])
def test_other_files_are_refused(run, tmp_path, capsys, content):
    (tmp_path / 'step.json').write_text(content)
    assert run('--step-json', tmp_path / 'step.json') == 2
    assert 'not JSON of tools/benchmarks/train_step.py' in capsys.readouterr().err


def test_parts_make_the_views():
    """What is timed in parts is what the preprocessor does."""
    preprocessor = FLSLDataPreprocessor()
    batch = torch.randint(256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    whole = preprocessor(dict(inputs=batch), training=True)['inputs']['views']
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
    parts = preprocessor.jitter(preprocessor.crop(batch.float() / 255, generator), generator)
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))
