"""Train several configs and nothing on the same images for the same number of steps, and print one table of probes.

Each config is trained with every seed by `flsl-mm train`, one after the other, and the teacher's backbone is measured
at several points of the training, as are random weights, mean color and position. Figures are means over seeds with
their standard error. What is done is not done again: give the same command to go on. With --total-minutes it stops
itself with the table of what was reached.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

from flsl_mm.utils.terminal import say

from .. import command_line, evaluate
from ..config_files import configs_folder
from ..parser import Parser
from .measuring import measure_all
from .plan import Clock, config_name, make_plan, run_folder
from .table import draw, render
from .training import train

CONFIGS = configs_folder() / 'pretrain'
METHODS = (
    CONFIGS / 'flsl_vit-t8d4_content.py',
    CONFIGS / 'ablations' / 'flsl_vit-t8d4_content_image-level.py',
)
EPILOG = """example, with the masks of the same street scenes and generated scenes:
  flsl-mm evidence data/camvid/images/train --minutes 10 --out work_dirs/evidence -- \\
      --segmentation data/camvid --num-classes 11 --ignore-index 11 --size 240 --scenes

Behind -- stand the data and settings of flsl-mm evaluate; by default its generated scenes.
"""


def minutes(text: str) -> float:
    """Read a duration."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of minutes above 0')
    return value


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``probes`` holds the options of `flsl-mm evaluate`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    own, probes = (argv[: argv.index('--')], argv[argv.index('--') + 1 :]) if '--' in argv else (argv, [])
    parser = Parser(__doc__, EPILOG)
    positive = evaluate.positive
    parser.add_argument('images', type=Path, help='folder of images to train on')
    parser.add_argument('--configs', nargs='+', type=Path, default=METHODS, metavar='CONFIG', help='what is compared')
    parser.add_argument('--seeds', type=positive, default=3, help='trainings of each config (default: 3)')
    parser.add_argument(
        '--minutes', type=minutes, help='of one training, about (default: 10, or what fits into --total-minutes)'
    )
    parser.add_argument('--total-minutes', type=minutes, help='of all, the table included (default: no limit)')
    parser.add_argument('--points', type=positive, default=4, help='measurements along a training (default: 4)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/evidence'), metavar='FOLDER')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args(own)
    args.probes = evaluate.parse_args(['none', *probes])
    return args


def compare(args: argparse.Namespace) -> None:
    """Train, measure, and write table, figure and numbers."""
    from flsl_mm.utils.fileio import write_text

    clock = Clock(args.total_minutes)
    plan = make_plan(args)
    jobs = [(config, seed) for seed in range(args.seeds) for config in args.configs]
    minutes = plan['epochs'] * plan['steps_per_epoch'] * plan['seconds_per_step'] / 60
    say(f'{plan["epochs"]} epochs of {plan["steps_per_epoch"]} steps, {len(jobs)} trainings of {minutes:.0f} minutes')
    start = time.perf_counter()
    for i, (config, seed) in enumerate(jobs):
        name = config_name(args, config)
        if clock.left_for_training() <= 0:
            say(f'the time for training is over: {len(jobs) - i} of {len(jobs)} trainings were not begun')
            break
        say(f'[{i + 1}/{len(jobs)}, {(time.perf_counter() - start) / 60:.0f} min] {name}, seed {seed}')
        # No config may take the time of the others of its seed.
        seconds = clock.left_for_training() / (len(args.configs) - i % len(args.configs))
        if not train(config, seed, run_folder(args, config, seed), plan, args, seconds):
            say('the time for training is over: this one was ended')
    entries, left_out = measure_all(args, plan, clock)
    curve = next(iter(entries[0]['curves'].values()))
    interval = plan['epochs'] // args.points * plan['steps_per_epoch']
    steps = [interval * (left_out + i + 1) for i in range(len(curve))]
    seeds = {name: len(points[-1]) for name, points in entries[0]['curves'].items()}
    content = dict(plan=plan, steps=steps, seeds=seeds, figures=entries)
    write_text(args.out / 'table.json', json.dumps(content, indent=1) + '\n')
    write_text(args.out / 'table.md', render(entries))
    draw(entries, steps, args.out / 'curves.png')
    say(*render(entries).splitlines())
    if steps[-1] < interval * args.points or min(seeds.values()) < args.seeds:
        counts = ', '.join(f'{name} {count}' for name, count in seeds.items())
        say(f'after {steps[-1]} of {interval * args.points} steps; seeds: {counts}. More time continues it')
    say(f'wrote table.md, table.json and curves.png to {args.out}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(compare, parse_args(argv))
