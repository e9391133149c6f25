"""The figure of runs: which panels there are, and a line of each run in its color."""

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from flsl_mm.commands.plot_run.plot import MAX_PANELS, Panel, panels_of, plot_runs
from flsl_mm.commands.plot_run.read import Run

RUNS = [
    Run('a', {'loss': {1: 3.0, 9: 1.0}, 'lr': {1: 0.1}, 'probe/x/y': {1: 0.5}}, {'rank': {1: 5.0}}, 'healthy', 9),
    Run('b', {'loss': {1: 2.0, 9: 2.5}, 'val/coco/bbox_mAP': {1: 0.2}, 'loss_cls': {1: 1.0}}, {}, None, 9),
]


def test_panels_of_all_runs_in_their_groups():
    assert panels_of(RUNS) == [
        Panel('Losses', 'loss'),
        Panel('Losses', 'loss_cls'),
        Panel('Collapse', 'rank'),
        Panel('Probes', 'probe/x/y'),
        Panel('Validation', 'val/coco/bbox_mAP'),
        Panel('Other', 'lr'),
    ]
    assert Panel('Probes', 'probe/x/y').title == 'x/y'


def test_every_run_is_drawn_in_its_color(tmp_path):
    for count in (1, 2):
        plot_runs(RUNS[:count], tmp_path / 'curves.png')
        pixels = np.array(Image.open(tmp_path / 'curves.png').convert('RGB')).reshape(-1, 3)
        for number, color in enumerate(colormaps['tab10'].colors[:2]):
            drawn = (np.abs(pixels - 255 * np.array(color)).max(1) < 3).sum()
            assert (drawn > 500) == (number < count)


def test_names_that_are_no_formulas_and_too_many_of_them(tmp_path):
    curves = {f'$\\frac {number}\n' + 'k' * 10_000: {1: 1.0} for number in range(MAX_PANELS + 1)}
    with pytest.warns(UserWarning, match=f'{MAX_PANELS} of {MAX_PANELS + 1} logged numbers are drawn'):
        plot_runs([Run('$\\x$', curves, {}, 'bad: $\\frac$', 1)], tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').is_file()
