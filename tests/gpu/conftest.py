"""The device of a test, and what is said at the end of `pytest -m gpu`."""

from collections import Counter

import mmengine.device.utils
import pytest
import torch

from .devices import NO_GPU, needs_gpu


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=needs_gpu)])
def device(request, monkeypatch) -> str:
    """Give the device of a test; MMEngine's own choice is the same, and float32 is float32 in convolutions too."""
    monkeypatch.setattr(mmengine.device.utils, 'DEVICE', request.param)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    return request.param


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Say what of the tests of a GPU ran where, and the figures that they noted."""
    if 'gpu' not in config.option.markexpr:
        return
    counts, skipped, figures = Counter(), [], []
    for outcome in ('passed', 'failed', 'error', 'skipped'):
        for report in terminalreporter.stats.get(outcome, ()):
            if 'tests/gpu/' not in report.nodeid:
                continue
            name = report.nodeid.partition('tests/gpu/')[2]
            if NO_GPU in str(report.longrepr):
                skipped.append(name)
            elif outcome != 'passed' or report.when == 'call':
                counts[f'{outcome} on the {"GPU" if "skipif" in report.keywords else "CPU"}'] += 1
            figures += [f'{name}: {key} {value}' for key, value in report.user_properties]
    terminalreporter.section('on which device')
    for key, count in sorted(counts.items()):
        terminalreporter.line(f'{count} {key}')
    for line in sorted(set(figures)):
        terminalreporter.line(line)
    if skipped:
        terminalreporter.line(f'{len(skipped)} skipped, {NO_GPU}:')
        for name in skipped:
            terminalreporter.line(f'  {name}')
