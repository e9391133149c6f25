"""What is said of each image: figures of both models, and who does better only where one does."""

import pytest
import torch

from flsl_mm.commands.visualize.figures import (
    MEASURED,
    averages,
    measure_references,
    measure_view,
    place_warning,
    reference_sources,
    sentence,
    summary_table,
)
from flsl_mm.commands.visualize.view import LEGEND, compute_view
from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.visualization.pca import color_basis
from tests.builders.checkpoints import tiny
from tests.commands.visualize.test_view import pixels

SCALES = (5.0, 10.0, 40.0)


def test_every_kind_is_measured_and_told():
    model = FeatureExtractor(tiny(3), name='ours').eval()
    view = compute_view(model, pixels(), None, color_basis(torch.randn(50, 16)))
    found = measure_view(view, list(LEGEND), SCALES)
    assert list(found) == list(LEGEND)
    for kind in LEGEND:
        said = sentence(kind, {'ours': found, 'theirs': found})
        assert said.startswith('Look for') or said.startswith('Click')
        assert 'Better: ' not in said
    assert measure_view(view, ['object'], SCALES) == {'object': found['object']}


def test_position_alone_gets_no_more_than_chance():
    model = FeatureExtractor(tiny(3), name='ours').eval()
    found = measure_references(reference_sources(model), pixels(96, 64), list(LEGEND), SCALES, None)
    assert list(found) == ['mean color', 'position alone']
    assert all(list(figures) == list(MEASURED) for figures in found.values())
    place = found['position alone']
    assert place['similarity'] < 0.4
    assert place['colors'] < 0
    assert place['clusters'] <= 0.01
    assert found['mean color']['similarity'] > 0.6


@pytest.mark.parametrize(
    ('kind', 'a', 'b', 'end'),
    [
        ('similarity', 0.9, 0.7, 'patches found again: a 90%, b 70%, chance 50%. Better: a.'),
        ('similarity', 0.9, 0.88, 'No clear difference.'),
        ('similarity', 0.2, 0.5, 'Neither is better than chance.'),
        ('clusters', -0.1, 0.2, 'clusters found again: a -0.10, b 0.20, chance 0.00. Better: b.'),
        ('object', 0.25, 1.0, 'Share of the image: a 25%, b 100%; neither is better for it.'),
    ],
)
def test_who_does_better(kind, a, b, end):
    assert sentence(kind, {'a': {kind: a}, 'b': {kind: b}}).endswith(end)


def test_the_table_has_means():
    measured = [{'a': dict(similarity=value), 'position alone': dict(similarity=0.2)} for value in (0.2, 0.3)]
    assert averages(measured) == {'similarity': {'a': 0.25, 'position alone': 0.2}}
    head, row = summary_table(measured)
    assert head == ['mean of 2 images', 'a', 'position alone', 'chance']
    assert row == ['patches found again', '25%', '20%', '50%']
    assert 'follow the place' in place_warning(measured, 'a')[0]
    assert place_warning([{'a': dict(similarity=0.6)}], 'a') == []
    assert summary_table([{'a': dict(object=0.5)}]) == []
