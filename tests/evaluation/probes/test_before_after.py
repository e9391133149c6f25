"""The figure before and after training: which patch is shown, and what the panels hold."""

import numpy as np
import torch
from PIL import Image

from flsl_mm.evaluation.probes import before_after
from flsl_mm.evaluation.probes.scenes import ScenesProbe

SCENES = ScenesProbe(num_scenes=2, size=64)


def test_the_point_lies_on_the_largest_object(monkeypatch):
    owners = torch.zeros(2, 4, 4, dtype=torch.long)
    owners[0, 0, 0] = 1
    owners[0, 1:4, 1:4] = 2
    monkeypatch.setattr(SCENES, 'patches', lambda patch_size: (owners, None))
    first, second = before_after.shown_patches(SCENES, 16, 2)
    assert first == (2, 2)
    assert second in {(1, 1), (1, 2), (2, 1), (2, 2)}  # no object at all: the middle of the scene


def test_the_figure_shows_similarity_and_clusters_of_both_moments(tmp_path):
    (row, column), _ = before_after.shown_patches(SCENES, 16, 2)
    flat = dict(clusters=[[0] * 4] * 4, similarity=[[0.5] * 4] * 4)
    alone = np.zeros((4, 4))
    alone[row, column] = 1
    after = dict(clusters=alone.astype(int).tolist(), similarity=alone.tolist())
    before_after.draw_before_after(tmp_path / 'figure.png', SCENES, 16, [flat, flat], [after, after])
    drawn = np.array(Image.open(tmp_path / 'figure.png').convert('RGB')).astype(int)
    columns = [drawn[50:170, left : left + 128] for left in range(8, drawn.shape[1] - 100, 136)]
    assert len(columns) == 6
    yellow = [(panel[..., :2].min(-1) - panel[..., 2] > 100).sum() for panel in columns]
    assert yellow[3] > 200 > 10 * yellow[2]  # of the patch alone, less the ring
    assert np.abs(columns[4] - columns[5]).sum() > 0
