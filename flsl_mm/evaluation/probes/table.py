"""Run probes on several feature sources and render one table."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from flsl_mm.models.spec import BackboneSpec
from flsl_mm.utils.fileio import printable

from ..features import FeatureExtractor
from .scores import Probe, Score
from .sources import ColorAndPosition, FeatureSource, MeanColor, PositionAlone, random_weights

RANDOM, CHANCE = 'random weights', 'chance'
"""Names of the two columns that are not a single feature source."""

NO_MODELS = (RANDOM, CHANCE, MeanColor.name, PositionAlone.name, ColorAndPosition.name)
"""Names of all columns that are no model's."""

MARK = '!'
"""Stands behind the figure of a model that does not beat every trivial feature."""


def trivial_sources(spec: BackboneSpec, seeds: int = 2, device: str = 'cpu') -> dict[str, list[FeatureSource]]:
    """Make the features that a network has to beat, by column: random weights (``seeds`` seeds), color, place, both."""
    drawn = [random_weights(spec, seed).to(device) for seed in range(seeds)]
    others = (MeanColor(spec.patch_size), PositionAlone(spec), ColorAndPosition(spec))
    for source in others:
        source.value_range = spec.value_range  # they see the images as the network does
    return {RANDOM: drawn, **{source.name: [source] for source in others}}


def measure(
    probe: Probe, models: Sequence[FeatureExtractor], trivial: Mapping[str, Sequence[FeatureSource]]
) -> dict[str, Any]:
    """Measure models and trivial features.

    Args:
        probe: The probe.
        models: Models of one patch size, with different names; may be empty.
        trivial: Trivial features by column; several in a column are averaged.

    Returns:
        Plain types for JSON: ``title``, ``rows`` (``key``, ``name``, ``columns``, ``not_beaten``: by model, the trivial
        columns that it does not exceed by two standard errors), ``skipped`` and ``seconds`` by column.
    """
    columns = {**{model.name: [model] for model in models}, **trivial}
    patch_size = next(iter(columns.values()))[0].patch_size
    chance = probe.chance(patch_size)  # first: it finds wrong data at once
    measured, seconds = {}, {}
    for name, sources in columns.items():
        start = time.perf_counter()
        measured[name] = [probe(source) for source in sources]
        seconds[name] = round(time.perf_counter() - start, 1)
    rows = []
    for key, row_name in probe.rows.items():
        cells = {name: _cell([scores[key] for scores in of_seeds]) for name, of_seeds in measured.items()}
        if key in chance:
            cells[CHANCE] = dict(value=_plain(chance[key]))
        not_beaten = {}
        if probe.more_is_better:
            not_beaten = {m.name: _not_exceeded(cells, cells[m.name], [*trivial, CHANCE]) for m in models}
        rows.append(dict(key=key, name=row_name, columns=cells, not_beaten=not_beaten))
    return dict(title=probe.title, rows=rows, skipped=dict(probe.skipped), seconds=seconds)


def _cell(scores: Sequence[Score]) -> dict[str, Any]:
    """Average the figures of several seeds; images are the same for all, so that errors do not average out."""
    values = [score.value for score in scores]
    cell: dict[str, Any] = dict(value=_plain(sum(values) / len(values)))
    errors = [score.error for score in scores if score.error is not None]
    if errors:
        cell['error'] = _plain(math.sqrt(sum(error**2 for error in errors) / len(errors)))
    if len(scores) > 1:
        cell['seeds'] = [_plain(value) for value in values]
    if scores[0].parts:
        means = {name: sum(score.parts[name] for score in scores) / len(scores) for name in scores[0].parts}
        cell['parts'] = {name: _plain(mean) for name, mean in means.items()}
    return cell


def _plain(value: float) -> float | None:
    """Return a number that JSON has: None for NaN."""
    return None if math.isnan(value) else float(value)


def _not_exceeded(cells: Mapping[str, Mapping], cell: Mapping, names: Sequence[str]) -> list[str]:
    """Name the cells that one does not exceed by two standard errors of the difference.

    That of independent measurements is taken; the images are the same, so that the true one is mostly smaller.
    """

    def is_exceeded(other: Mapping) -> bool:
        error = math.hypot(cell.get('error') or 0.0, other.get('error') or 0.0)
        return cell['value'] > other['value'] + 2 * error

    others = {name: cells[name] for name in names if name in cells}
    return [
        name for name, other in others.items() if None not in (cell['value'], other['value']) and not is_exceeded(other)
    ]


def render(results: Sequence[Mapping[str, Any]]) -> str:
    """Lay out what :func:`measure` returned for several probes with the same columns as a table of text."""
    columns = list(dict.fromkeys(name for result in results for row in result['rows'] for name in row['columns']))
    lines = [['', *columns]]
    for result in results:
        lines.append([result['title']])
        for row in result['rows']:
            cells = [_text(row['columns'].get(name), bool(row['not_beaten'].get(name))) for name in columns]
            lines.append([f'  {row["name"]}', *cells])
    lines = [[printable(cell) for cell in line] for line in lines]
    tabular = [line for line in lines if len(line) > 1]
    widths = [max(len(line[i]) for line in tabular) for i in range(len(columns) + 1)]
    text = []
    for line in lines:
        first, *rest = line
        padded = [cell.ljust(width) for cell, width in zip(rest, widths[1:], strict=False)]
        text.append('  '.join([first.ljust(widths[0]) if rest else first, *padded]).rstrip())
    if any(names for result in results for row in result['rows'] for names in row['not_beaten'].values()):
        text.append(f'{MARK} not better by two standard errors than each of the columns that are no model')
    return '\n'.join(text)


def _text(cell: Mapping[str, Any] | None, marked: bool) -> str:
    if cell is None:
        return '-'
    if cell['value'] is None:
        return 'n/a'
    digits = 1 if abs(cell['value']) >= 10 else 3
    error = f' ± {cell["error"]:.{digits}f}' if cell.get('error') is not None else ''
    return f'{cell["value"]:.{digits}f}{error}{" " + MARK if marked else ""}'
