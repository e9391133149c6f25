"""Tables of what tools/benchmarks/gpu_day.py has measured, for the page on status; docs/conf.py calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name('gpu_day.json')
"""Where the file of a run on a GPU is put; there is none until somebody has had one."""
NOT_RUN = 'Not run yet. '
"""What the page says without it."""


def markdown(results: dict[str, Any]) -> str:
    """Write the counts of the tests, the benchmarks' ratios, and the final figures of each training as tables."""
    machine, parts = results['machine'], results['parts']
    lines = [
        f'Run on {machine.get("gpu", machine["cpu"])} at commit {machine["commit"]}, torch {machine["torch"]}.',
        '',
    ]
    if tests := parts.get('tests'):
        counts = ', '.join(f'{tests.get(kind, 0)} {kind}' for kind in ('passed', 'failed', 'skipped'))
        lines += [f'`pytest -m gpu`: {counts}.', *(f'- failed: `{name}`' for name in tests['failures']), '']
    if benchmarks := parts.get('benchmarks', {}).get('benchmarks'):
        lines += ['| benchmark | to its limit | images/s |', '|---|---|---|']
        for name, numbers in benchmarks.items():
            shown = (f'{numbers[key]:{form}}' if key in numbers else '-' for key, form in COLUMNS)
            lines.append(f'| {name} | {" | ".join(shown)} |')
        lines.append('')
    for name, part in parts.items():
        for figure in part.get('figures', ()) if name.startswith('evidence') else ():
            last = {config: curve[-1] for config, curve in figure['curves'].items()} | figure['trivial']
            means = ', '.join(f'{config} {sum(seeds) / len(seeds):.3f}' for config, seeds in last.items() if seeds)
            lines.append(f'- {figure["data"]}, {figure["figure"]}: {means}')
    failed = [f'- {name}: {problem}' for name, problem in results['failed'].items()]
    return '\n'.join([*lines, *failed, '', ''])


COLUMNS = (('ratio', '.3f'), ('images_per_second', ',.0f'))
"""Numbers of a benchmark that are shown, and how."""


def insert(app, name: str, source: list[str]) -> None:
    """Put the tables into the page on status where it says that nothing was run."""
    if name == 'status' and FILE.is_file():
        source[0] = source[0].replace(NOT_RUN, markdown(json.loads(FILE.read_text(encoding='utf-8'))), 1)
