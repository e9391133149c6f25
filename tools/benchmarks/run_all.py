"""Runs every benchmark with settings that suit the machine and puts their numbers into one JSON file.

Each benchmark is a program of its own that prints its table. Together they keep to --budget-seconds: each gets a share
of the time that is left, and what others did not need is shared among those to come. One that fails or takes longer
than its share is named at the end, and the exit code is 1 then; the others run all the same. Nothing needs a network or
a data set. The file is written anew after each benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import measure
import torch

FOLDER = Path(__file__).parent
PRETRAIN = FOLDER.parents[1] / 'configs' / 'pretrain'
LEAST_SECONDS = 10  # importing takes about as long


@dataclass(frozen=True)
class Benchmark:
    """One program to run.

    Args:
        name: Key of its numbers in the file.
        script: Its file, in this folder.
        weight: Its share of the time, relative to the others'.
        options: Its command line.
        steps: Names of earlier benchmarks whose JSON it takes as ``--step-json``, where they came out.
    """

    name: str
    script: str
    weight: float
    options: tuple[str, ...]
    steps: tuple[str, ...] = ()


def plan(device: str) -> list[Benchmark]:
    """List the benchmarks for a device, the most important ones first."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    gpu = device == 'cuda'
    precision = ('--device', device, '--dtype', 'bfloat16' if gpu else 'float32')
    s16 = ('--config', str(PRETRAIN / 'flsl_vit-s16.py'), *precision)
    s8 = ('--config', str(PRETRAIN / 'flsl_vit-s8.py'), *precision)
    batch = ('--batch-size', '256' if gpu else '8')
    s8_batch = ('--batch-size', '256' if gpu else '2')
    workers = [str(number) for number in (1, 2, 4, 8, 16) if number <= cores]
    repeats = ('--repeats', '10' if gpu else '5')
    few = ('--repeats', '10' if gpu else '1')
    plans = [
        Benchmark('train_step_s16', 'train_step.py', 3, (*s16, *batch, *repeats)),
        Benchmark('views', 'views.py', 1, ('--device', device, *batch, *repeats), ('train_step_s16',)),
        Benchmark('input_pipeline', 'input_pipeline.py', 3, ('--workers', *workers, '--repeats', '3')),
        Benchmark('pretrain', 'pretrain.py', 3, (*batch, '--workers', str(cores if gpu else 1), '--repeats', '2')),
        Benchmark('train_step_s8', 'train_step.py', 3, (*s8, *s8_batch, '--repeats', '5' if gpu else '2')),
        Benchmark('detector', 'detector.py', 4, ('--device', device, *few)),
        Benchmark('vos', 'vos.py', 2, (*precision, '--frames', '20' if gpu else '5')),
        Benchmark('scaling', 'scaling.py', 2, repeats, ('train_step_s16', 'train_step_s8')),
    ]
    if gpu:
        plans.append(Benchmark('train_step_s16_compiled', 'train_step.py', 3, (*s16, *batch, *repeats, '--compile')))
    return plans


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='JSON file for all numbers')
    parser.add_argument('--budget-seconds', type=float, default=480, help='time for all of it (default: 480)')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='run these alone (default: all)')
    measure.add_device_option(parser)
    return parser


def run_one(command: list[str], seconds: float) -> str | None:
    """Run a program, which prints for itself; end it and its children when its time is over.

    Args:
        command: Program and options.
        seconds: Time that it may take.

    Returns:
        What went wrong, or None.
    """
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f'took longer than {seconds:.0f} s'
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f'exit code {code}' if code else None


def run_all(benchmarks: list[Benchmark], budget: float, out: Path) -> dict:
    """Run benchmarks one after the other within a time, and keep the file up to date.

    Args:
        benchmarks: What to run, in this order.
        budget: Seconds for all of them.
        out: JSON file.

    Returns:
        What is in the file: ``machine``, ``benchmarks`` with numbers, command and seconds of each by name, ``failed``
        with the reason by name, and ``left_out``, the names of those for which no time was left.
    """
    results = dict(machine=measure.machine(), budget_seconds=budget, benchmarks={}, failed={}, left_out=[])
    measure.write_json(out, results)  # a folder that is not there shows before the time is spent
    end = time.monotonic() + budget
    with tempfile.TemporaryDirectory() as folder:
        for number, benchmark in enumerate(benchmarks):
            left = max(end - time.monotonic(), 0)
            share = left * benchmark.weight / sum(later.weight for later in benchmarks[number:])
            if share < LEAST_SECONDS:
                results['left_out'].append(benchmark.name)
                continue
            print(f'\n{number + 1}/{len(benchmarks)} {benchmark.name} (at most {share:.0f} s)', flush=True)
            file = Path(folder) / f'{benchmark.name}.json'
            command = [sys.executable, str(FOLDER / benchmark.script), *benchmark.options, '--out', str(file)]
            files = [Path(folder) / f'{name}.json' for name in benchmark.steps if name in results['benchmarks']]
            command += ['--step-json', *map(str, files)] if files else []
            start = time.monotonic()
            problem = run_one(command, share)
            if problem:
                results['failed'][benchmark.name] = problem
            else:
                numbers = json.loads(file.read_text())
                numbers.pop('machine', None)
                seconds = round(time.monotonic() - start, 1)
                results['benchmarks'][benchmark.name] = dict(numbers, options=benchmark.options, seconds_needed=seconds)
            measure.write_json(out, results)
    measure.write_json(out, results)
    return results


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 1 if a benchmark failed, 2 after a mistake in the options."""
    args = get_parser().parse_args(argv)
    benchmarks = plan(args.device)
    try:
        measure.check_folder(args.out)
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise ValueError('--device cuda, but torch finds no GPU')
        if args.budget_seconds <= 0:
            raise ValueError(f'--budget-seconds must be positive, got {args.budget_seconds}')
        names = [benchmark.name for benchmark in benchmarks]
        if unknown := set(args.only or ()) - set(names):
            raise ValueError(f'no benchmark {", ".join(sorted(unknown))}: choose from {", ".join(names)}')
        chosen = [benchmark for benchmark in benchmarks if benchmark.name in (args.only or names)]
        results = run_all(chosen, args.budget_seconds, args.out)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'\n{len(results["benchmarks"])} of {len(chosen)} benchmarks in {args.out}')
    for name in results['left_out']:
        print(f'left out: {name}, no time was left')
    for name, problem in results['failed'].items():
        print(f'failed: {name}, {problem}', file=sys.stderr)
    return 1 if results['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
