"""Draw curves of runs as one figure: losses, collapse figures, probes, schedules, verdicts."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flsl_mm.utils.fileio import atomic_writer, printable

from .read import Run

TITLES = {
    'loss': 'total loss',
    'inter': 'inter-view loss (nats)',
    'intra': 'intra-view loss',
    'volume': 'volume term (nats below ln K)',
    'teacher_entropy': "entropy of the teacher's assignments (nats)",
    'marginal_entropy': 'entropy of the mean assignment (nats)',
    'prototypes_used': 'prototypes used in a batch',
    'rank': "effective rank of the teacher's features",
    'within_cosine': 'cosine of two patches of one image',
    'between_share': 'share of variance between images',
    'place_share': 'share of variance that place explains',
    'lr': 'learning rate',
    'momentum': 'teacher momentum',
    'teacher_temp': 'teacher temperature',
    'grad_norm': 'norm of the gradient',
}
"""What a curve is called; others by their name in the log."""

LOSSES = ('loss', 'inter', 'intra', 'volume')
COLLAPSE = ('teacher_entropy', 'marginal_entropy', 'prototypes_used')
COLLAPSE += ('rank', 'within_cosine', 'between_share', 'place_share')
COLUMNS, PANEL_WIDTH, PANEL_HEIGHT = 4, 3.6, 2.5
MAX_PANELS = 120
"""More would take minutes, and nobody looks at them."""
HEAD_WIDTH = 175
"""Characters of a line above the panels."""
TITLE_WIDTH = 60
"""Characters of a panel's title."""

VERDICT_COLORS = {'healthy': '#1a7f37', 'collapsed': '#b3261e', 'learned place': '#b3261e'}


@dataclass(frozen=True)
class Panel:
    """One quantity.

    Attributes:
        group: Row of the figure that it belongs to.
        key: Its name in logs and measurements.
    """

    group: str
    key: str

    @property
    def title(self) -> str:
        """What the panel is called."""
        return TITLES.get(self.key, self.key.removeprefix('probe/').removeprefix('val/'))


def panels_of(runs: Sequence[Run]) -> list[Panel]:
    """List the quantities that any run has, losses first."""
    keys = list(dict.fromkeys(key for run in runs for key in (*run.curves, *run.measurements)))
    groups = {'Losses': [], 'Collapse': [], 'Probes': [], 'Validation': [], 'Other': []}
    for key in keys:
        if key.startswith('probe/'):
            group = 'Probes'
        elif key.startswith('val/'):
            group = 'Validation'
        elif key in LOSSES or key.startswith('loss'):
            group = 'Losses'
        else:
            group = 'Collapse' if key in COLLAPSE else 'Other'
        groups[group].append(key)
    known = list(TITLES)
    return [
        Panel(group, key)
        for group, members in groups.items()
        for key in sorted(members, key=lambda key: known.index(key) if key in known else len(known))
    ]


def plot_runs(runs: Sequence[Run], path: Path) -> None:
    """Draw runs over each other and write the figure.

    Args:
        runs: The runs.
        path: PNG file to write; its folder must exist.
    """
    panels = panels_of(runs)
    if len(panels) > MAX_PANELS:
        warnings.warn(f'{MAX_PANELS} of {len(panels)} logged numbers are drawn', stacklevel=2)
        panels = panels[:MAX_PANELS]
    groups = list(dict.fromkeys(panel.group for panel in panels))
    rows = {group: math.ceil(sum(panel.group == group for panel in panels) / COLUMNS) for group in groups}
    head = [line for run in runs for line in _head_lines(run)]
    head_inches = 0.35 + 0.2 * len(head)
    height = head_inches + PANEL_HEIGHT * sum(rows.values()) + 0.3 * len(groups)
    figure = Figure(figsize=(COLUMNS * PANEL_WIDTH, height), dpi=110)
    colors = _colors(len(runs))
    _write_head(figure, runs, colors, height)
    top = height - head_inches
    for group in groups:
        figure.text(0.012, (top - 0.1) / height, group, fontsize=11, fontweight='bold', va='top')
        top -= 0.3
        members = [panel for panel in panels if panel.group == group]
        for number, panel in enumerate(members):
            row, column = divmod(number, COLUMNS)
            left, bottom = column * PANEL_WIDTH + 0.55, top - (row + 1) * PANEL_HEIGHT + 0.45
            box = (left, bottom, PANEL_WIDTH - 0.7, PANEL_HEIGHT - 0.8)
            axes = figure.add_axes([box[0] / (COLUMNS * PANEL_WIDTH), box[1] / height, *_share(box[2:], height)])
            _draw(axes, panel, runs, colors)
        top -= rows[group] * PANEL_HEIGHT
    with atomic_writer(path) as file:
        figure.savefig(file, format='png')


def _share(size: tuple[float, float], height: float) -> tuple[float, float]:
    return size[0] / (COLUMNS * PANEL_WIDTH), size[1] / height


def _draw(axes: Axes, panel: Panel, runs: Sequence[Run], colors: Sequence) -> None:
    """Draw one quantity of all runs: a line for what was logged, points for measurements."""
    for run, color in zip(runs, colors, strict=True):
        logged, measurements = run.curves.get(panel.key, {}), run.measurements.get(panel.key, {})
        if logged:
            steps = sorted(logged)
            marker = 'o' if len(steps) < 12 else None
            axes.plot(steps, [logged[step] for step in steps], color=color, lw=1.3, marker=marker, ms=3.5)
        if measurements and not logged:
            steps = sorted(measurements)
            axes.plot(steps, [measurements[step] for step in steps], color=color, lw=1.0, marker='o', ms=3)
    axes.set_title(printable(panel.title)[:TITLE_WIDTH], fontsize=9, parse_math=False)
    axes.tick_params(labelsize=7)
    axes.margins(x=0.03)
    axes.grid(alpha=0.25)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    by_epoch = panel.group == 'Validation' and any(run.counts_epochs for run in runs if panel.key in run.curves)
    axes.set_xlabel('epoch' if by_epoch else 'step', fontsize=7, labelpad=1)


def _verdict_text(run: Run) -> str:
    if run.verdict is None:
        return f'no verdict: running, stopped before its end, or no pretraining; {run.last_step} steps logged'
    return f'{run.verdict} ({run.last_step} steps)'


def _head_lines(run: Run) -> list[str]:
    return textwrap.wrap(printable(f'{run.name}: {_verdict_text(run)}'), HEAD_WIDTH) or ['']


def _write_head(figure: Figure, runs: Sequence[Run], colors: Sequence, height: float) -> None:
    """Write a line for each run: a stroke in its color, its name and its verdict."""
    top, width = height - 0.2, COLUMNS * PANEL_WIDTH
    for run, color in zip(runs, colors, strict=True):
        figure.add_artist(_stroke(figure, top / height, color, width))
        word = (run.verdict or '').partition(':')[0]
        for line in _head_lines(run):
            text_color = VERDICT_COLORS.get(word, '#444444')
            figure.text(0.62 / width, top / height, line, fontsize=9, color=text_color, va='center', parse_math=False)
            top -= 0.2


def _stroke(figure: Figure, y: float, color: Sequence[float], width: float) -> Line2D:
    return Line2D([0.17 / width, 0.5 / width], [y, y], color=color, lw=3, transform=figure.transFigure)


def _colors(count: int) -> list:
    """Return a color for each run, well apart for ten."""
    if count <= 10:
        return list(colormaps['tab10'].colors[:count])
    return [colormaps['viridis'](index / (count - 1)) for index in range(count)]
