"""Spends minutes of a GPU: tests, then benchmarks, then what it learns, each in its own time, into one JSON file.

  tests       pytest -m gpu                                                    4 of 15 minutes
  benchmarks  run_all.py --device cuda                                         6 of 15 minutes
  evidence    FLSL with position jitter, image-level and random weights:       what is left, by halves
              4 blocks on patches of 8, then ViT-S/16 at 128 pixels

The file is rewritten after each part. A part that fails, or whose time is over, leaves what it has; it is named at the
end, and the exit code is 1 then. Time that a part does not need goes to the next ones. What evidence trains on is
--images, or generated scenes, which are written while the tests run.

--dry-run does all of it small and on the CPU, in a few minutes: do that first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from xml.etree import ElementTree

import measure
import run_all
import tiny

from flsl_mm.commands import command_line as cli

GRACE = 10
"""Seconds in which a part whose time is over writes what it has."""

PRETRAIN = measure.ROOT / 'configs' / 'pretrain'
COMMANDS = [sys.executable, '-m', 'flsl_mm.commands']


class Part(NamedTuple):
    """A program, where it writes, how that is read, and its share of the time that is left when it starts."""

    command: Callable[[float], list[str]]
    file: Path
    read: Callable[[Path], Any]
    share: float


def read_tests(file: Path) -> dict[str, Any]:
    """Read pytest's report: counts, the tests that failed, and the figures that tests noted."""
    counts, failed, figures = Counter(), {}, {}
    for case in ElementTree.parse(file).iter('testcase'):
        name = f'{case.get("classname", "").rpartition(".")[2]}::{case.get("name")}'
        problem = next((case.find(kind) for kind in ('failure', 'error') if case.find(kind) is not None), None)
        if problem is not None:
            failed[name] = problem.get('message', '')
        counts['failed' if problem is not None else 'skipped' if case.find('skipped') is not None else 'passed'] += 1
        figures |= {f'{name}: {noted.get("name")}': noted.get('value') for noted in case.iter('property')}
    return dict(counts, failures=failed, figures=figures)


def read_json(file: Path) -> Any:
    """Read numbers."""
    return json.loads(file.read_text())


def evidence(name: str, images: Path, folder: Path, dry_run: bool) -> Callable[[float], list[str]]:
    """Make the command that compares a config with its image-level ablation and random weights in some seconds."""
    configs = [PRETRAIN / f'{name}.py', PRETRAIN / 'ablations' / f'{name}_image-level.py']
    if dry_run:
        configs = [tiny.evidence(config, folder) for config in configs]
    probes = ['--', '--scenes', '--num-scenes', '4' if dry_run else '200']

    def command(seconds: float) -> list[str]:
        time_options = ['--seeds', '1', '--points', '1', '--minutes', '0.001'] if dry_run else ['--seeds', '2']
        options = [*time_options, '--total-minutes', f'{seconds / 60:.2f}', '--out', folder / name]
        return [*COMMANDS, 'evidence', *map(str, [images, '--configs', *configs, *options, *probes])]

    return command


def plan(folder: Path, images: Path, dry_run: bool = False) -> dict[str, Part]:
    """Return the parts in their order."""
    marks = 'gpu and not slow' if dry_run else 'gpu'
    tests = [sys.executable, '-m', 'pytest', str(measure.ROOT / 'tests' / 'gpu'), '-m', marks, '-q', '--junitxml']
    benchmarks = [sys.executable, str(Path(__file__).parent / 'run_all.py'), '--device', 'cuda']
    benchmarks += ['--dry-run'] if dry_run else []
    parts = dict(
        tests=Part(lambda seconds: [*tests, str(folder / 'tests.xml')], folder / 'tests.xml', read_tests, 4 / 15),
        benchmarks=Part(
            lambda seconds: [*benchmarks, '--minutes', f'{seconds / 60:.2f}', '--out', str(folder / 'benchmarks.json')],
            folder / 'benchmarks.json',
            read_json,
            6 / 11,
        ),
    )
    for name, share in (('flsl_vit-t8d4_jitter', 1 / 2), ('flsl_vit-s16_jitter', 1)):
        command = evidence(name, images, folder, dry_run)
        parts[f'evidence_{name}'] = Part(command, folder / name / 'table.json', read_json, share)
    return parts


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=15, help='of all (default: 15)')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for everything')
    parser.add_argument('--images', type=Path, help='folder of images to train on (default: 4,000 generated scenes)')
    parser.add_argument('--dry-run', action='store_true', help='do all of it, small and on the CPU')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the parts one after the other, and keep the file up to date; leaves with 1 if one of them failed."""
    if args.minutes <= 0:
        raise ValueError(f'--minutes must be positive, got {args.minutes}')
    measure.check_folder(args.out)
    if not args.dry_run:
        measure.choose_device('cuda')
    end = time.monotonic() + 60 * args.minutes
    results: dict[str, Any] = dict(machine=measure.machine(), minutes=args.minutes, parts={}, failed={})
    with TemporaryDirectory(prefix='flsl_gpu_') as name:
        folder = Path(name)
        images = args.images or folder / 'scenes' / 'train'
        writer = None if args.images else start_scenes(folder, args.dry_run)
        try:
            for part_name, part in plan(folder, images, args.dry_run).items():
                if part_name.startswith('evidence') and writer is not None:
                    with suppress(subprocess.TimeoutExpired):
                        writer.wait(max(end - time.monotonic(), 0))
                start = time.monotonic()
                seconds = 3600 if args.dry_run else part.share * (end - start)
                print(f'\n== {part_name}, {seconds / 60:.1f} minutes', flush=True)
                problem = run_all.run_one(part.command(max(seconds - GRACE, 1)), max(seconds, 1), GRACE)
                if problem:
                    results['failed'][part_name] = problem
                if part.file.is_file():
                    results['parts'][part_name] = dict(part.read(part.file), seconds=round(time.monotonic() - start, 1))
                measure.write_json(args.out, results)
        finally:
            if writer is not None and writer.poll() is None:
                writer.kill()
                writer.wait()
    print(f'\n{len(results["parts"])} parts in {args.out}')
    for part_name, problem in results['failed'].items():
        print(f'failed: {part_name}, {problem}', file=sys.stderr)
    if results['failed']:
        raise SystemExit(1)


def start_scenes(folder: Path, dry_run: bool) -> subprocess.Popen:
    """Start to write generated scenes, 4,000 to train on."""
    count, size = ('16', '64x64') if dry_run else ('4400', '160x160')
    options = ['--layout', 'images', '--num', count, '--size', size, '--val-fraction', '0.1']
    return subprocess.Popen([*COMMANDS, 'make-scenes', str(folder / 'scenes'), *options], stdout=subprocess.DEVNULL)


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code: 1 if a part failed, 2 after a mistake in the options."""
    return cli.run(run, get_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
