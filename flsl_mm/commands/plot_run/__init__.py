"""Draw the curves of a training run, or of several over each other, with their verdicts, as one PNG."""

from __future__ import annotations

import argparse
from pathlib import Path

from flsl_mm.utils.terminal import say

from .. import command_line, model_options
from ..parser import Parser

EPILOG = """examples:
  flsl-mm plot-run work_dirs/flsl_vit-t8d4_scenes
  flsl-mm plot-run work_dirs/seed_0 work_dirs/seed_1 --out seeds.png

Runs that still go on can be drawn too. Losses, collapse figures, probes and validation each have their row.
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('folders', nargs='+', type=Path, metavar='WORK_DIR', help='work folders of runs')
    parser.add_argument(
        '--out', type=Path, metavar='PNG', help='figure (default: curves.png in the work folder; of several, here)'
    )
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args(argv)
    if args.out and args.out.suffix.lower() != '.png':
        parser.error(f'--out is a .png file, not {args.out}')
    return args


def draw(args: argparse.Namespace) -> None:
    """Read the runs and draw them."""
    from .plot import plot_runs
    from .read import read_runs

    out = args.out or (args.folders[0] / 'curves.png' if len(args.folders) == 1 else Path('curves.png'))
    if args.out or len(args.folders) > 1:  # of a single folder, whether it is there comes first
        model_options.check_writable(out)
    runs = read_runs(args.folders)
    model_options.check_writable(out)
    plot_runs(runs, out)
    for run in runs:
        say(f'{run.name}: {run.verdict or "no verdict"}, {run.last_step} steps')
    say(f'curves: {out}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(draw, parse_args(argv), mmengine=False)
