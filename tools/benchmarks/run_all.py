"""Runs every benchmark with settings that suit the machine and puts their numbers into one JSON file.

Each benchmark is a program of its own that prints its table, and needs neither network nor data set. One that fails or
takes longer than --limit-seconds is named at the end, and the exit code is 1 then; the others run all the same. The
file is rewritten after each benchmark. All of them take about five minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measure

from flsl_mm.commands import command_line as cli

FOLDER = Path(__file__).parent
S8 = shlex.quote(str(measure.ROOT / 'configs' / 'pretrain' / 'flsl_vit-s8.py'))


def plan(device: str) -> dict[str, list[str]]:
    """Return program and options of each benchmark for a device, by name, the most important ones first."""
    workers = ' '.join(sorted({'1', str(measure.cores())}))
    if device == 'cuda':
        lines = {
            'train_step_s16': 'train_step.py --device cuda --dtype bfloat16 --batch-size 256 --compile',
            'loader': f'loader.py --workers {workers} --batch-size 256 --rounds 3 --repeats 3 --train --iterations 40',
            'vos': 'vos.py --device cuda',
            'vos_bfloat16': 'vos.py --device cuda --dtype bfloat16',
            'detector': 'detector.py --device cuda --repeats 10',
            'train_step_s8': f'train_step.py --device cuda --dtype bfloat16 --batch-size 256 --repeats 5 --config {S8}',
        }
    else:
        lines = {
            'train_step_s16': 'train_step.py --device cpu --repeats 5',
            'loader': f'loader.py --workers {workers} --batch-size 8 --rounds 40 --repeats 3 --train --iterations 2',
            'vos': 'vos.py --device cpu --repeats 5',
            'detector': 'detector.py --device cpu --height 512 --width 864',
            'train_step_s8': f'train_step.py --device cpu --batch-size 2 --repeats 3 --config {S8}',
        }
    return {name: shlex.split(line) for name, line in lines.items()}


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='JSON file for all numbers')
    parser.add_argument('--limit-seconds', type=float, default=600, help='time for each benchmark (default: 600)')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='run these alone (default: all)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='(default: cuda where there is one)')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser


def run_one(command: list[str], limit: float) -> str | None:
    """Run a program, which prints for itself; end it and its children when its time is over.

    Args:
        command: Program and options.
        limit: Seconds that it may take.

    Returns:
        What went wrong, or None.
    """
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        return f'took longer than {limit:g} s'
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f'exit code {code}' if code else None


def run(args: argparse.Namespace) -> None:
    """Run the benchmarks one after the other, and keep the file up to date; leaves with 1 if one of them failed."""
    if args.limit_seconds <= 0:
        raise ValueError(f'--limit-seconds must be positive, got {args.limit_seconds}')
    measure.check_folder(args.out)
    planned = plan(measure.choose_device(args.device))
    if unknown := set(args.only or ()) - set(planned):
        raise ValueError(f'no benchmark {", ".join(sorted(unknown))}: choose from {", ".join(planned)}')
    chosen = {name: command for name, command in planned.items() if name in (args.only or planned)}
    results: dict[str, Any] = dict(machine=measure.machine(), benchmarks={}, failed={})
    with TemporaryDirectory() as folder:
        for number, (name, (script, *options)) in enumerate(chosen.items(), 1):
            print(f'\n{number}/{len(chosen)} {name}: {script} {" ".join(options)}', flush=True)
            file = Path(folder) / f'{name}.json'
            start = time.monotonic()
            problem = run_one([sys.executable, str(FOLDER / script), *options, '--out', str(file)], args.limit_seconds)
            if problem:
                results['failed'][name] = problem
            else:
                numbers = json.loads(file.read_text())
                numbers.pop('machine')
                results['benchmarks'][name] = dict(numbers, program_seconds=round(time.monotonic() - start, 1))
            measure.write_json(args.out, results)
    print(f'\n{len(results["benchmarks"])} of {len(chosen)} benchmarks in {args.out}')
    for name, problem in results['failed'].items():
        print(f'failed: {name}, {problem}', file=sys.stderr)
    if results['failed']:
        raise SystemExit(1)


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code: 1 if a benchmark failed, 2 after a mistake in the options."""
    return cli.run(run, get_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
