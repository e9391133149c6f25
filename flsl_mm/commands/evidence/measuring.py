"""The figures of a comparison: every backbone file, random weights, color and position."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import evaluate
from ..model_options import resolve_device
from .plan import Clock, backbones, config_name, run_folder

if TYPE_CHECKING:
    from flsl_mm.evaluation.probes.scores import Probe
    from flsl_mm.evaluation.probes.sources import FeatureSource


def measured(source: FeatureSource, probes: list[Probe], file: Path) -> dict[str, dict[str, float]]:
    """Measure features with each probe, by its title; what ``file`` holds is not measured again."""
    from flsl_mm.utils.fileio import write_text

    known = json.loads(file.read_text()) if file.is_file() else {}
    for probe in probes:
        if probe.title not in known:
            known[probe.title] = {key: figure.value for key, figure in probe(source).items()}
            write_text(file, json.dumps(known, indent=1) + '\n')
    return known


def files_by_point(args: argparse.Namespace, plan: dict[str, Any]) -> list[dict[str, list[Path]]]:
    """List the backbone files that are there, by config, for each point that every config has reached."""
    points = []
    for i in range(args.points):
        of_point = {}
        for config in args.configs:
            files = [backbones(run_folder(args, config, seed), plan)[i] for seed in range(args.seeds)]
            of_point[config_name(args, config)] = [file for file in files if file.is_file()]
        if all(of_point.values()):
            points.append(of_point)
    return points


def measure_all(args: argparse.Namespace, plan: dict[str, Any], clock: Clock) -> tuple[list[dict[str, Any]], int]:
    """Measure every trivial feature and every backbone file, the last point of each training first.

    When the time is over, what is missing is left out: earlier points, and all but the first of the seeds that are
    there.

    Returns:
        One entry a figure, and the number of points in it that lie before the last one and were left out. An entry has
        ``data``, ``figure``, ``chance`` (or None), ``trivial`` (values of all seeds by column) and ``curves``: for each
        config the values of all seeds at each point (points, seeds).

    Raises:
        ValueError: If not every config has been trained to its first point.
    """
    from mmengine.logging import MMLogger
    from tqdm import tqdm

    from flsl_mm.evaluation.features import load_model
    from flsl_mm.evaluation.probes.table import trivial_sources

    MMLogger.get_current_instance().setLevel('WARNING')  # one line a file would tear the bar
    points = files_by_point(args, plan)
    if not points:
        raise ValueError('the time was over before every config had reached its first point: raise --total-minutes')
    device = resolve_device(args.probes.device)
    first = load_model(points[-1][config_name(args, args.configs[0])][0], device=device)
    probes = evaluate.build_probes(args.probes, {first.patch_size})
    trivial = {
        name: [measured(source, probes, args.out / f'{name} {i}.json') for i, source in enumerate(sources)]
        for name, sources in trivial_sources(first.spec, args.seeds, device).items()
    }
    scores: dict[Path, dict[str, dict[str, float]]] = {}
    needed = {files[0] for files in points[-1].values()}
    by_seed = sorted(
        ((-i, seed, file) for i, of in enumerate(points) for files in of.values() for seed, file in enumerate(files)),
    )
    for _, _, file in tqdm(by_seed, desc='measuring', unit='file', disable=None):
        if file in needed or not clock.is_over():
            scores[file] = measured(load_model(file, device=device), probes, file.with_suffix('.json'))
    done = [{name: [f for f in files if f in scores] for name, files in of.items()} for of in points]
    left_out = sum(not all(of.values()) for of in done)
    columns = done[left_out:]
    entries = [
        dict(
            data=probe.title,
            figure=row,
            chance=probe.chance(first.patch_size).get(key),
            trivial={name: [found[probe.title][key] for found in of] for name, of in trivial.items()},
            curves={
                name: [[scores[file][probe.title][key] for file in of[name]] for of in columns] for name in columns[-1]
            },
        )
        for probe in probes
        for key, row in probe.rows.items()
    ]
    return entries, left_out
