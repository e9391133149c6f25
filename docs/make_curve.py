"""Draw the curve of docs/evidence.md: `python docs/make_curve.py` writes docs/evidence_curve.png.

The figures in docs/evidence_curve.json are those of the backbones of each epoch, three seeds, measured as by
`flsl-mm evaluate` after `flsl-mm convert --pos-scale 0.05 --center`.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use('Agg')
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent
TITLES = {
    'scenes/matched_auc': 'scenes, matched AUC',
    'scenes/linear_accuracy': 'scenes, linear class of a patch',
    'tiny/knn_accuracy': 'Tiny-ImageNet, 20-NN of 200 classes',
}
GREEN, GRAY = '#0f8b8d', '#8a949e'


def main() -> None:
    """Write the figure."""
    content = json.loads((DOCS / 'evidence_curve.json').read_text())
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), dpi=110, layout='constrained')
    for axis, (key, title) in zip(axes, TITLES.items(), strict=True):
        seeds = np.array([[of_epoch[key] for of_epoch in seed] for seed in content['seeds']])
        epochs = np.arange(1, seeds.shape[1] + 1)
        mean, error = seeds.mean(0), seeds.std(0, ddof=1) / len(seeds) ** 0.5
        axis.errorbar(epochs, mean, error, color=GREEN, marker='o', capsize=3, label='FLSL, three seeds')
        for (name, value), style in zip(content['zeros'][key].items(), ('--', ':'), strict=True):
            axis.axhline(value, color=GRAY, linestyle=style, label=name)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel('epoch')
        axis.set_xticks(epochs)
        axis.spines[['top', 'right']].set_visible(False)
        axis.legend(fontsize=8, frameon=False)
    figure.savefig(DOCS / 'evidence_curve.png')


if __name__ == '__main__':
    main()
