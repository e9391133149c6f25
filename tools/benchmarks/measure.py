"""What the benchmarks share: options, timing in turns, ratios, facts of the machine, a table and a JSON file.

A figure and its limit are timed in turns in one process, so that both see the same machine: a neighbor who takes a
core for a while slows both. A ratio is the median of the ratios of the turns. No program judges what it measures.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flsl_mm.commands import command_line as cli
from flsl_mm.utils.fileio import write_text

if TYPE_CHECKING:
    from mmengine.config import Config

ROOT = Path(__file__).parents[2]
PACKAGES = ('torch', 'torchvision', 'timm', 'kornia', 'pillow')
FAMILIES = ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'mmengine', 'mmcv', 'mmcv-lite', 'mmdet')


def get_parser(description: str, repeats: int, device: bool = True) -> argparse.ArgumentParser:
    """Describe the options that every benchmark has.

    Args:
        description: What it measures.
        repeats: Default number of measurements.
        device: Whether the device can be chosen.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=repeats, help=f'measurements of each (default: {repeats})')
    parser.add_argument('--threads', type=int, help='CPU threads of torch (default: its own choice)')
    if device:
        parser.add_argument('--device', choices=['cpu', 'cuda'], help='(default: cuda where there is one)')
    parser.add_argument('--out', type=Path, help='JSON file for the numbers')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser


def main(parser: argparse.ArgumentParser, program: Callable[[argparse.Namespace], dict], argv: list[str] | None) -> int:
    """Run a benchmark: read the options, measure, write the JSON file; a mistake gives one line.

    Args:
        parser: Its command line, from :func:`get_parser`.
        program: Measures as the options say, prints a table, and returns the numbers.
        argv: Command line, or None for that of the process.

    Returns:
        Exit code: 0, or 2 after an error in one line.
    """

    def measured(args: argparse.Namespace) -> None:
        import torch

        check_positive(args, 'repeats')
        check_folder(args.out)
        if 'device' in args:
            args.device = choose_device(args.device)
        if args.threads:
            torch.set_num_threads(args.threads)
        facts, numbers = machine(), program(args)
        if args.out:
            write_json(args.out, dict(setting=settings(args), machine=facts, **numbers))

    return cli.run(measured, parser.parse_args(argv))


def check_positive(args: argparse.Namespace, *names: str) -> None:
    """Refuse options below 1; raises ValueError."""
    for name in names:
        if getattr(args, name) < 1:
            raise ValueError(f'--{name.replace("_", "-")} must be at least 1, got {getattr(args, name)}')


def check_folder(out: Path | None) -> None:
    """Refuse an output file without a folder before anything is measured; raises FileNotFoundError."""
    if out and not out.absolute().parent.is_dir():
        raise FileNotFoundError(f'no folder {out.absolute().parent} for --out')


def choose_device(wanted: str | None) -> str:
    """Return the device to measure on; raises ValueError if it is not there."""
    import torch

    if wanted == 'cuda' and not torch.cuda.is_available():
        raise ValueError('--device cuda, but torch finds no GPU')
    return wanted or ('cuda' if torch.cuda.is_available() else 'cpu')


def read_config(path: Path, kind: str | None = None) -> Config:
    """Read a config; raises ValueError if it is missing, or its model is not of the given kind."""
    from mmengine.config import Config

    if not path.is_file():
        raise ValueError(f'no config {path}')
    cfg = Config.fromfile(path)
    if kind and cfg.model.type != kind:
        raise ValueError(f'{path} is not a pretraining config: its model is {cfg.model.type}, not {kind}')
    return cfg


@contextmanager
def quiet() -> Iterator[None]:
    """Keep messages back: MMEngine reports each weight that it initializes."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a run that its numbers depend on."""
    return {name: value for name, value in vars(args).items() if name not in ('out', 'traceback')}


def machine() -> dict[str, Any]:
    """Describe hardware, versions and commit."""
    import torch

    found = dict(
        cpu=cpu_name(),
        cores=cores(),
        load_average=os.getloadavg()[0],
        torch_threads=torch.get_num_threads(),
        python=platform.python_version(),
        commit=commit(),
    )
    if torch.cuda.is_available():
        found['gpu'] = torch.cuda.get_device_name()
    for package in PACKAGES + FAMILIES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def cpu_name() -> str:
    """Name the processor."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else ()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def commit() -> str:
    """Return the commit of this checkout, marked where files differ from it; empty outside of one."""
    command = ['git', '-C', str(ROOT), 'describe', '--always', '--dirty', '--abbrev=12']
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == 'cuda':
        import torch

        torch.cuda.synchronize()


def timed(work: Callable[[], Any], device: str = 'cpu') -> float:
    """Return the seconds that some work takes, the device's part included."""
    synchronize(device)
    start = perf_counter()
    work()
    synchronize(device)
    return perf_counter() - start


def time_alternating(
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
    from tqdm import tqdm

    seconds = {name: [] for name in works}
    for turn in tqdm(range(-warmup, repeats), desc=', '.join(works), leave=False, disable=None):
        for name, work in works.items():
            duration = timed(work, device)
            if turn >= 0:
                seconds[name].append(duration)
    return seconds


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return the median of each work's turns, as ``<name>_seconds``."""
    return {f'{name}_seconds': statistics.median(turns) for name, turns in seconds.items()}


def ratio(figure: Iterable[float], limit: Iterable[float]) -> float:
    """Return the median of the ratios of each turn, figure over limit."""
    return statistics.median(ours / bare for ours, bare in zip(figure, limit, strict=True))


def peak_memory(device: str) -> dict[str, float]:
    """Return the peak memory so far in GB: of the process, and of the device."""
    found = dict(process_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    if device == 'cuda':
        import torch

        found['device_gb'] = torch.cuda.max_memory_allocated() / 2**30
    return found


def write_json(path: Path, numbers: dict) -> None:
    """Write numbers to a file; paths become text."""
    write_text(path, json.dumps(numbers, indent=2, default=str) + '\n')


def row(name: str, seconds: float, limit: str, limit_seconds: float, ratio: str) -> tuple[str, str, str, str]:
    """Make a row of the table from a duration and its limit's."""
    return name, f'{1e3 * seconds:,.1f} ms', f'{limit} {1e3 * limit_seconds:,.1f} ms', ratio


def print_table(title: str, args: argparse.Namespace, numbers: dict[str, Any], rows: Iterable[Sequence[str]]) -> None:
    """Print a line about the setting, rows of name, figure, limit and ratio, and the peak memory where it is known."""
    import torch
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    setting = [title, *(vars(args)[name] for name in ('dtype', 'device') if name in args)]
    table = Table('', *(Column(name, justify='right') for name in ('figure', 'limit', 'ratio')), box=box.SIMPLE)
    for cells in rows:
        table.add_row(*cells)
    print(', '.join([*setting, f'{torch.get_num_threads()} threads', f'median of {args.repeats}']))
    Console(width=120, highlight=False).print(table)
    if memory := numbers.get('peak_memory'):
        values = (f'{value:.2f} GB of the {name.removesuffix("_gb")}' for name, value in memory.items())
        print(f'peak memory: {", ".join(values)}')
