"""Runs every benchmark with settings that suit the machine and puts their numbers into one JSON file.

Each benchmark is a program of its own that prints its table, and needs neither network nor data set. One that fails or
takes longer than --limit-seconds is named at the end, and the exit code is 1 then; the others run all the same. The
file is rewritten after each benchmark. All of them take about five minutes on two CPU cores; on a GPU they come in the
order of their value, and what --minutes leave no time for is named.

--dry-run measures nothing: it runs each program of the plan with its own options, but small and on the CPU, so that no
time of a GPU is spent on finding out what is missing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measure
import tiny

from flsl_mm.commands import command_line as cli

FOLDER = Path(__file__).parent
S8 = shlex.quote(str(measure.ROOT / 'configs' / 'pretrain' / 'flsl_vit-s8.py'))


def plan(device: str) -> dict[str, list[str]]:
    """Return program and options of each benchmark for a device, by name, the most important ones first."""
    workers = ' '.join(sorted({'1', str(measure.cores())}))
    if device == 'cuda':
        lines = {
            'train_step_s16': 'train_step.py --device cuda --dtype bfloat16 --batch-size 256',
            'loader': f'loader.py --workers {workers} --batch-size 256 --rounds 2 --repeats 2 --train --iterations 30',
            'vos_bfloat16': 'vos.py --device cuda --dtype bfloat16',
            'detector': 'detector.py --device cuda --repeats 10',
            'compiled_s16': 'train_step.py --device cuda --dtype bfloat16 --batch-size 256 --repeats 5 --compile',
            'vos': 'vos.py --device cuda',
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
    parser.add_argument('--minutes', type=float, help='time for all of them (default: as long as they take)')
    parser.add_argument('--dry-run', action='store_true', help='run all of the plan, small and on the CPU')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='run these alone (default: all)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='(default: cuda where there is one)')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser


def run_one(command: list[str], limit: float, grace: float = 0) -> str | None:
    """Run a program, which prints for itself; end it and its children when its time is over.

    Args:
        command: Program and options.
        limit: Seconds that it may take.
        grace: Seconds that it has after Ctrl-C then, to write what it has.

    Returns:
        What went wrong, or None.
    """
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        if grace:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        return f'took longer than {limit:g} s'
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f'exit code {code}' if code else None


def try_one(script: str, options: list[str], file: Path) -> str | None:
    """Run a benchmark in this process, small and on the CPU; returns what went wrong, or None."""
    program = importlib.import_module(Path(script).stem)
    compiled = os.environ.get('TORCHDYNAMO_DISABLE')
    os.environ['TORCHDYNAMO_DISABLE'] = '1'  # compiling takes longer than all the rest
    try:
        code = program.main([*options, *tiny.options(script, file.parent), '--out', str(file)])
    finally:
        os.environ.pop('TORCHDYNAMO_DISABLE')
        if compiled is not None:
            os.environ['TORCHDYNAMO_DISABLE'] = compiled
    return f'exit code {code}' if code else None


def run(args: argparse.Namespace) -> None:
    """Run the benchmarks one after the other, and keep the file up to date; leaves with 1 if one of them failed."""
    if args.limit_seconds <= 0:
        raise ValueError(f'--limit-seconds must be positive, got {args.limit_seconds}')
    if args.minutes is not None and args.minutes <= 0:
        raise ValueError(f'--minutes must be positive, got {args.minutes}')
    measure.check_folder(args.out)
    planned = plan((args.device or 'cpu') if args.dry_run else measure.choose_device(args.device))
    if unknown := set(args.only or ()) - set(planned):
        raise ValueError(f'no benchmark {", ".join(sorted(unknown))}: choose from {", ".join(planned)}')
    chosen = {name: command for name, command in planned.items() if name in (args.only or planned)}
    results: dict[str, Any] = dict(machine=measure.machine(), benchmarks={}, failed={})
    end = time.monotonic() + 60 * (args.minutes or math.inf)
    with TemporaryDirectory() as folder:
        for number, (name, (script, *options)) in enumerate(chosen.items(), 1):
            print(f'\n{number}/{len(chosen)} {name}: {script} {" ".join(options)}', flush=True)
            file = Path(folder) / f'{name}.json'
            start = time.monotonic()
            limit = min(args.limit_seconds, end - start)
            command = [sys.executable, str(FOLDER / script), *options, '--out', str(file)]
            if args.dry_run:
                problem = try_one(script, options, file)
            else:
                problem = run_one(command, limit) if limit > 0 else 'no time was left'
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
