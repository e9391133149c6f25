"""Read the logs of a run: scalars over steps, health measurements, the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flsl_mm.utils.fileio import open_regular
from flsl_mm.utils.work_folder import VERDICT

from ..names import distinct_names

NOT_CURVES = ('step', 'iter', 'epoch', 'data_time', 'time', 'memory')
"""What a line of the log has besides the numbers that are drawn."""

MAX_LINE, MAX_VERDICT, MAX_TEXT = 2**20, 2**26, 2000
"""Bytes of a line of a log and of a verdict's file, and letters of a verdict: far more than any has."""

MAX_NUMBER = 1e100
"""What is beyond is left out: sums of it would overflow in a figure."""

Curve = dict[int, float]
"""Values by step."""


@dataclass
class Run:
    """A run, as its work folder shows it.

    Attributes:
        name: What the legend calls it.
        curves: Logged numbers, by name; of steps that were done twice, after a resume, the later one.
        measurements: Measurements of its health, by name.
        verdict: The verdict; None for a run that has not ended, or has none.
        last_step: Greatest step that was logged.
        counts_epochs: Whether validations are logged by epoch, as they are where training steps have one; else by step.
    """

    name: str
    curves: dict[str, Curve] = field(default_factory=dict)
    measurements: dict[str, Curve] = field(default_factory=dict)
    verdict: str | None = None
    last_step: int = 0
    counts_epochs: bool = False


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read several runs, each under so much of its path's end as tells them apart; errors as :func:`read_run`."""
    folders = list(dict.fromkeys(folder.resolve() for folder in folders))
    names = distinct_names([folder.name for folder in folders], folders)
    return [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def read_run(folder: Path, name: str) -> Run:
    """Read the work folder of a run, which may still be going on.

    Args:
        folder: The work folder.
        name: What the legend calls it.

    Raises:
        FileNotFoundError: If there is no such folder, or no log in it.
        ValueError: If there is nothing to draw in its logs.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'no folder {folder}: give the work folder of a run (work_dirs/NAME)')
    logs = sorted(folder.glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(f'no log (*/vis_data/scalars.json) in {folder}: give the work folder of a run')
    run = Run(name)
    for line in (line for log in logs for line in _lines(log)):
        step = line.get('step')
        if not _is_number(step):
            continue
        # Validation of an epoch-wise run counts epochs, all others iterations.
        is_validation = 'iter' not in line and not any(key.startswith('probe/') for key in line)
        for key, value in line.items():
            if key not in NOT_CURVES and _is_number(value):
                run.curves.setdefault(f'val/{key}' if is_validation else key, {})[int(step)] = float(value)
        run.counts_epochs |= 'epoch' in line
        if not is_validation:
            run.last_step = max(run.last_step, int(step))
    _read_verdict(folder / VERDICT, run)
    if not run.curves:
        raise ValueError(f'the logs in {folder} have no numbers yet: wait for the first lines')
    return run


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log; the last one may be cut off while the run continues, or was killed."""
    with open_regular(log) as file:
        while text := file.readline(MAX_LINE):
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                yield line


def _read_verdict(path: Path, run: Run) -> None:
    if not path.exists():
        return
    try:
        with open_regular(path) as file:
            content = json.loads(file.read(MAX_VERDICT))
        run.verdict = str(content['verdict'])[:MAX_TEXT]
        for measurement in content['measurements']:
            for key, value in measurement.items():
                if key != 'step' and _is_number(value) and _is_number(measurement['step']):
                    run.measurements.setdefault(key, {})[int(measurement['step'])] = float(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f'{path} is not a file of verdict and measurements: remove it to draw the rest') from None


def _is_number(value: Any) -> bool:
    """Return whether a value can be drawn; JSON has integers of any length."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MAX_NUMBER
