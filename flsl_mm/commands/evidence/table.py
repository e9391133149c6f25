"""Table and figure of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any


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
        for style, (name, values) in zip(('--', ':', '-.', (0, (1, 4))), entry['trivial'].items(), strict=False):
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
