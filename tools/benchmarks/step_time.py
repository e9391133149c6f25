"""The time of a training step, which other benchmarks are set against: given as a number or as train_step.py's JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_options(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add the two ways to give the step's time.

    Args:
        parser: Command line of the benchmark.
        several: Whether more than one JSON file may be given.
    """
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--step-seconds', type=float, help='seconds of a training step (default: not measured)')
    group.add_argument(
        '--step-json', nargs='+' if several else None, help='JSON of tools/benchmarks/train_step.py instead'
    )


def read(path: str) -> dict:
    """Read what train_step.py wrote.

    Args:
        path: Its JSON file.

    Returns:
        Its numbers, with ``step_seconds`` and ``setting`` among them.

    Raises:
        ValueError: If the file is missing or not of train_step.py, or its step took no time.
    """
    if not Path(path).is_file():
        raise ValueError(f'no file {path}: write it with tools/benchmarks/train_step.py --out')
    try:
        numbers = json.loads(Path(path).read_text())
        check(numbers['step_seconds'])
        numbers['setting']['config']
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is not JSON of tools/benchmarks/train_step.py') from error
    return numbers


def check(seconds: float) -> float:
    """Return the seconds of a step; raises ValueError if they are not positive."""
    if not seconds > 0:
        raise ValueError(f'a training step takes more than 0 seconds, got {seconds}')
    return seconds
