"""What the benchmarks share: options, interleaved timing, medians and ratios, and a JSON file with the machine's facts.

A figure and its limit are timed in turns in one process, so that both see the same machine: a neighbour who takes a
core for a while slows both. Ratios are medians of the ratios of each turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
FAMILIES = ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'mmengine', 'mmcv', 'mmcv-lite', 'mmdet')
PACKAGES = ('torch', 'torchvision', 'timm', 'kornia', *FAMILIES)


def add_options(parser: argparse.ArgumentParser, repeats: int) -> None:
    """Add the options that every benchmark has."""
    parser.add_argument('--repeats', type=int, default=repeats, help=f'measurements of each (default: {repeats})')
    parser.add_argument('--threads', type=int, help='CPU threads of torch (default: its own choice)')
    parser.add_argument('--out', type=Path, help='JSON file for the numbers')


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the device."""
    default = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', choices=['cpu', 'cuda'], default=default, help=f'(default here: {default})')


def main(parser: argparse.ArgumentParser, program: Callable[[argparse.Namespace], dict], argv: list[str] | None) -> int:
    """Run a benchmark: read the options, measure, write the JSON file; a mistake gives one line.

    Args:
        parser: Its command line, with :func:`add_options`.
        program: Measures as the options say, prints, and returns the numbers.
        argv: Command line, or None for that of the process.

    Returns:
        Exit code: 0, or 2 after an error in one line.
    """
    args = parser.parse_args(argv)
    try:
        if args.repeats < 1:
            raise ValueError(f'--repeats must be at least 1, got {args.repeats}')
        if args.out:
            check_folder(args.out)
        if args.threads:
            torch.set_num_threads(args.threads)
        numbers = dict(setting=settings(args), machine=machine(), **program(args))
        if args.out:
            write_json(args.out, numbers)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


def check_folder(out: Path) -> None:
    """Refuse an output file without a folder before anything is measured; raises FileNotFoundError."""
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f'no folder {out.absolute().parent} for --out')


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Give the options of a run as JSON knows them, without the output file."""
    plain = {name: value if isinstance(value, (int, float, list)) else str(value) for name, value in vars(args).items()}
    plain.pop('out')
    return plain


def machine() -> dict[str, Any]:
    """Describe hardware, versions and commit."""
    found = dict(
        cpu=cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        torch_threads=torch.get_num_threads(),
        python=platform.python_version(),
        commit=commit(),
    )
    if torch.cuda.is_available():
        found['gpu'] = torch.cuda.get_device_name()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cpu_name() -> str:
    """Name the processor."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else ()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def commit() -> str:
    """Give the commit of this checkout, marked where files differ from it; empty outside of one."""
    command = ['git', '-C', str(ROOT), 'describe', '--always', '--dirty', '--abbrev=12']
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''


def timed(work: Callable[[], Any], device: str = 'cpu') -> float:
    """Return the seconds that some work takes, the device's part included."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == 'cuda':
        torch.cuda.synchronize()


def in_turns(
    works: dict[str, Callable[[], Any]], repeats: int, device: str = 'cpu', warmup: int = 2
) -> dict[str, list[float]]:
    """Time several works one after the other, again and again.

    Args:
        works: What to time, by name.
        repeats: Number of turns.
        device: Device that they run on.
        warmup: Number of turns before those that count.

    Returns:
        Seconds of each turn, by name.
    """
    seconds = {name: [] for name in works}
    for turn in tqdm(range(-warmup, repeats), desc=', '.join(works), leave=False, disable=None):
        for name, work in works.items():
            duration = timed(work, device)
            if turn >= 0:
                seconds[name].append(duration)
    return seconds


def ratio(figure: list[float], limit: list[float]) -> float:
    """Give the median of the ratios of each turn, figure over limit."""
    return statistics.median(ours / bare for ours, bare in zip(figure, limit, strict=True))


def peak_memory(device: str) -> dict[str, float]:
    """Give the peak memory in GB: of the process and its ended children, and of the device."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    own, children = (resource.getrusage(kind).ru_maxrss / 2**20 for kind in kinds)
    found = dict(process_gb=round(own, 3), largest_child_gb=round(children, 3))
    if device == 'cuda':
        found['device_gb'] = round(torch.cuda.max_memory_allocated() / 2**30, 3)
    return found


def write_json(path: Path, numbers: dict) -> None:
    """Write numbers to a file, whole or not at all."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    temporary.write_text(json.dumps(numbers, indent=2) + '\n')
    os.replace(temporary, path)
