"""Train several configs and nothing on the same images for the same number of steps, and print one table of probes.

Each config is trained with every seed by `flsl-mm train`, one after the other, and the teacher's backbone is measured
at several points of the training, as are random weights, mean color and position. Figures are means over seeds with
their standard error. What is done is not done again: give the same command to go on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flsl_mm.utils.terminal import say

from . import command_line, evaluate
from .config_files import configs_folder
from .names import distinct_names
from .parser import Parser
from .quiet import read_config_quietly

if TYPE_CHECKING:
    from flsl_mm.evaluation.probes.scores import Probe
    from flsl_mm.evaluation.probes.sources import FeatureSource

CONFIGS = configs_folder() / 'pretrain'
METHODS = (
    CONFIGS / 'flsl_vit-t8d4_small.py',
    CONFIGS / 'ablations' / 'flsl_vit-t8d4_small_image-level.py',
)
EPILOG = """example, with the masks of the same street scenes and generated scenes:
  flsl-mm evidence data/camvid/images/train --minutes 10 --out work_dirs/evidence -- \\
      --segmentation data/camvid --num-classes 11 --ignore-index 11 --size 240 --scenes

Behind -- stand the data and settings of flsl-mm evaluate; by default its generated scenes.
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``probes`` holds the options of `flsl-mm evaluate`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    own, probes = (argv[: argv.index('--')], argv[argv.index('--') + 1 :]) if '--' in argv else (argv, [])
    parser = Parser(__doc__, EPILOG)
    positive = evaluate.positive
    parser.add_argument('images', type=Path, help='folder of images to train on')
    parser.add_argument('--configs', nargs='+', type=Path, default=METHODS, metavar='CONFIG', help='what is compared')
    parser.add_argument('--seeds', type=positive, default=3, help='trainings of each config (default: 3)')
    parser.add_argument('--minutes', type=float, default=10, help='of one training, about (default: 10)')
    parser.add_argument('--points', type=positive, default=4, help='measurements along a training (default: 4)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/evidence'), metavar='FOLDER')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args(own)
    args.probes = evaluate.parse_args(['none', *probes])
    return args


def seconds_per_step(config: Path) -> float:
    """Time a training step of a config, without its loader: the median of eight."""
    import torch
    from mmengine.device import get_device
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import MODELS

    cfg = read_config_quietly(config)
    model = MODELS.build(cfg.model).to(get_device()).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    wrapper.initialize_count_status(model, 0, 100)
    size = cfg.train_dataloader.dataset.size
    images = torch.randint(256, (cfg.train_dataloader.batch_size, 3, size, size), dtype=torch.uint8)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        model.train_step(dict(inputs=images), wrapper)['loss'].item()
        times.append(time.perf_counter() - start)
    return sorted(times[4:])[4]


def make_plan(args: argparse.Namespace) -> dict[str, Any]:
    """Decide the number of epochs that takes ``--minutes`` with the slowest config, or read what was decided.

    Raises:
        ValueError: If the folder holds the plan of another comparison.
    """
    from flsl_mm.datasets.folder import find_images
    from flsl_mm.utils.fileio import write_text

    options = dict(
        images=str(args.images.resolve()),
        configs=[str(Path(config).resolve()) for config in args.configs],
        minutes=args.minutes,
        points=args.points,
    )
    path = args.out / 'plan.json'
    if path.is_file():
        plan = json.loads(path.read_text())
        if plan['options'] != options:
            raise ValueError(f'{path} plans another comparison: give the same options, or another --out')
        return plan
    batch_size = read_config_quietly(args.configs[0]).train_dataloader.batch_size
    steps_per_epoch = len(find_images(args.images)) // batch_size
    if steps_per_epoch == 0:
        raise ValueError(f'{args.images} holds fewer images than a batch of {batch_size}')
    seconds = max(seconds_per_step(config) for config in args.configs)
    # A multiple of the points, so that each lies at an epoch's end.
    epochs = max(round(60 * args.minutes / seconds / steps_per_epoch / args.points), 1) * args.points
    plan = dict(options=options, epochs=epochs, steps_per_epoch=steps_per_epoch, seconds_per_step=seconds)
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(plan, indent=1) + '\n')
    return plan


def run_folder(args: argparse.Namespace, config: Path, seed: int) -> Path:
    """Return the work folder of one training."""
    return args.out / config_name(args, config) / f'seed_{seed}'


def config_name(args: argparse.Namespace, config: Path) -> str:
    """Return what folders and tables call a config."""
    names = distinct_names([Path(each).stem for each in args.configs], args.configs)
    return names[args.configs.index(config)]


def backbones(folder: Path, plan: dict[str, Any]) -> list[Path]:
    """Return the backbone files of one training, in order."""
    interval = plan['epochs'] // plan['options']['points']
    return [folder / f'epoch_{interval * (i + 1)}_backbone.pth' for i in range(plan['options']['points'])]


def train(config: Path, seed: int, folder: Path, plan: dict[str, Any], args: argparse.Namespace) -> None:
    """Train a config with a seed, or go on where it was stopped.

    Raises:
        RuntimeError: If the training fails; the message names its log.
    """
    if all(path.is_file() for path in backbones(folder, plan)):
        return
    folder.mkdir(parents=True, exist_ok=True)
    interval = plan['epochs'] // plan['options']['points']
    options = [
        f'train_dataloader.dataset.data_root={args.images}',
        f'train_dataloader.dataset.seed={seed}',
        f'randomness.seed={seed}',
        f'train_cfg.max_epochs={plan["epochs"]}',
        f'default_hooks.checkpoint.interval={interval}',
        'default_hooks.checkpoint.by_epoch=True',
        'default_hooks.checkpoint.max_keep_ckpts=-1',
    ]
    program = [sys.executable, '-m', 'flsl_mm.commands', 'train', str(config), '--work-dir', str(folder)]
    with (folder / 'log.txt').open('a') as log:
        done = subprocess.run([*program, '--resume', '--cfg-options', *options], stdout=log, stderr=log, check=False)
    if done.returncode:
        lines = (folder / 'log.txt').read_text().splitlines()
        raise RuntimeError(f'training failed, {folder / "log.txt"}: {lines[-1] if lines else "no output"}')
    missing = [path.name for path in backbones(folder, plan) if not path.is_file()]
    if missing:
        raise RuntimeError(f'{folder} lacks {missing[0]}: the config needs FLSLCheckpointHook')


def measured(source: FeatureSource, probes: list[Probe], file: Path) -> dict[str, dict[str, float]]:
    """Measure features with each probe, by its title; what ``file`` holds is not measured again."""
    from flsl_mm.utils.fileio import write_text

    known = json.loads(file.read_text()) if file.is_file() else {}
    for probe in probes:
        if probe.title not in known:
            known[probe.title] = {key: figure.value for key, figure in probe(source).items()}
            write_text(file, json.dumps(known, indent=1) + '\n')
    return known


def measure_all(args: argparse.Namespace, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure every backbone file and every trivial feature; one entry a figure.

    Returns:
        ``data``, ``figure``, ``chance`` (or None), ``trivial`` (values of all seeds by column) and ``curves``: for
        each config the values of all seeds at each point (points, seeds).
    """
    from mmengine.logging import MMLogger
    from tqdm import tqdm

    from flsl_mm.evaluation.features import load_model
    from flsl_mm.evaluation.probes.table import trivial_sources

    MMLogger.get_current_instance().setLevel('WARNING')  # one line a file would tear the bar
    folders = {config_name(args, c): [run_folder(args, c, seed) for seed in range(args.seeds)] for c in args.configs}
    files = {name: [backbones(folder, plan) for folder in of] for name, of in folders.items()}
    paths = [path for of in files.values() for of_seed in of for path in of_seed]
    probes = evaluate.build_probes(args.probes, {load_model(paths[0]).patch_size})
    scores_by_file = {}
    for file in tqdm(paths, desc='measuring', unit='file'):
        model = load_model(file)
        scores_by_file[file] = measured(model, probes, file.with_suffix('.json'))
    trivial_scores = {
        name: [measured(source, probes, args.out / f'{name} {i}.json') for i, source in enumerate(sources)]
        for name, sources in trivial_sources(model.spec, args.seeds).items()
    }
    return [
        dict(
            data=probe.title,
            figure=row,
            chance=probe.chance(model.patch_size).get(key),
            trivial={name: [found[probe.title][key] for found in of] for name, of in trivial_scores.items()},
            curves={
                name: [[scores_by_file[of_seed[i]][probe.title][key] for of_seed in of] for i in range(args.points)]
                for name, of in files.items()
            },
        )
        for probe in probes
        for key, row in probe.rows.items()
    ]


def mean_and_error(values: list[float]) -> tuple[float, float | None]:
    """Return the mean of several seeds and its standard error, None for one seed."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, (sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)) ** 0.5


def render(entries: list[dict[str, Any]]) -> str:
    """Lay the figures at the end of training out as a Markdown table."""

    def cell(values: list[float]) -> str:
        mean, error = mean_and_error(values)
        return f'{mean:.3f}' + ('' if error is None else f' ± {error:.3f}')

    names = [*entries[0]['curves'], *entries[0]['trivial'], 'chance']
    lines = [f'| figure | {" | ".join(names)} |', '|---' * (len(names) + 1) + '|']
    for entry in entries:
        cells = [cell(curve[-1]) for curve in entry['curves'].values()]
        cells += [cell(values) for values in entry['trivial'].values()]
        cells.append('-' if entry['chance'] is None else f'{entry["chance"]:.3f}')
        lines.append(f'| {entry["data"]}: {entry["figure"]} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def draw(entries: list[dict[str, Any]], steps: list[int], path: Path) -> None:
    """Draw each figure over the training, beside the trivial features."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    columns = min(3, len(entries))
    rows = -(-len(entries) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.4 * rows), squeeze=False)
    for axis, entry in zip(axes.flat, entries, strict=False):
        start = entry['trivial'].get('random weights')
        for color, (name, curve) in enumerate(entry['curves'].items()):
            points = [mean_and_error(values) for values in ([start] if start else []) + curve]
            at = ([0] if start else []) + steps
            axis.errorbar(
                at, [p[0] for p in points], [p[1] or 0 for p in points], label=name, color=f'C{color}', capsize=3
            )
        for style, (name, values) in zip(('--', ':', '-.'), entry['trivial'].items(), strict=False):
            axis.axhline(mean_and_error(values)[0], color='gray', linestyle=style, linewidth=1, label=name)
        axis.set_title(f'{entry["figure"]}\n{entry["data"]}', fontsize=7)
        axis.set_xlabel('steps', fontsize=8)
        axis.tick_params(labelsize=8)
    for axis in list(axes.flat)[len(entries) :]:
        axis.remove()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='lower center', ncol=3, fontsize=8)
    figure.tight_layout(rect=(0, 0.08 if rows > 1 else 0.16, 1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def compare(args: argparse.Namespace) -> None:
    """Train, measure, and write table, figure and numbers."""
    from flsl_mm.utils.fileio import write_text

    plan = make_plan(args)
    jobs = [(config, seed) for seed in range(args.seeds) for config in args.configs]
    minutes = plan['epochs'] * plan['steps_per_epoch'] * plan['seconds_per_step'] / 60
    say(f'{plan["epochs"]} epochs of {plan["steps_per_epoch"]} steps, {len(jobs)} trainings of {minutes:.0f} minutes')
    start = time.perf_counter()
    for i, (config, seed) in enumerate(jobs):
        name = config_name(args, config)
        say(f'[{i + 1}/{len(jobs)}, {(time.perf_counter() - start) / 60:.0f} min] {name}, seed {seed}')
        train(config, seed, run_folder(args, config, seed), plan, args)
    entries = measure_all(args, plan)
    interval = plan['epochs'] // args.points
    steps = [interval * (i + 1) * plan['steps_per_epoch'] for i in range(args.points)]
    write_text(args.out / 'table.json', json.dumps(dict(plan=plan, steps=steps, figures=entries), indent=1) + '\n')
    write_text(args.out / 'table.md', render(entries))
    draw(entries, steps, args.out / 'curves.png')
    say(*render(entries).splitlines())
    say(f'wrote table.md, table.json and curves.png to {args.out}')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(compare, parse_args(argv))
