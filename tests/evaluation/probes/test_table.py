"""The table: what stands in its cells, what is marked, and how it is laid out."""

import json
import math
from types import SimpleNamespace

import pytest

from flsl_mm.evaluation.probes.scores import Score
from flsl_mm.evaluation.probes.table import CHANCE, MARK, RANDOM, measure, render, trivial_sources
from tests.builders.probe_data import SPEC


class ProbeOfNames:
    """Gives each source the figure that its name has here."""

    title = 'names'
    rows = {'right': 'names that are right'}
    more_is_better = True

    def __init__(self, scores: dict[str, Score], chance: float = 0.1) -> None:
        self.scores = scores
        self.skipped = {'a.png': 'broken'}
        self.blind = chance

    def __call__(self, source) -> dict[str, Score]:
        return dict(right=self.scores[source.name])

    def chance(self, patch_size: int) -> dict[str, float]:
        assert patch_size == 8
        return dict(right=self.blind)


def sources(*names: str) -> list[SimpleNamespace]:
    return [SimpleNamespace(name=name, patch_size=8) for name in names]


def table_of(scores: dict[str, Score], models: tuple[str, ...] = ('model',), **options) -> dict:
    trivial = {name: sources(name) for name in scores if name not in models}
    return measure(ProbeOfNames(scores, **options), sources(*models), trivial)


def test_seeds_are_averaged_and_their_error_is_that_of_one():
    """Seeds see the same images: more of them do not make the error over images smaller."""
    drawn = sources('first', 'second')
    scores = dict(first=Score(0.2, 0.03, dict(cat=0.1)), second=Score(0.4, 0.03, dict(cat=0.5)))
    (row,) = measure(ProbeOfNames(scores), [], {RANDOM: drawn})['rows']
    cell = row['columns'][RANDOM]
    assert cell['value'] == pytest.approx(0.3)
    assert cell['error'] == pytest.approx(0.03)
    assert cell['seeds'] == [0.2, 0.4]
    assert cell['parts'] == {'cat': pytest.approx(0.3)}


@pytest.mark.parametrize(
    ('model', 'not_beaten'),
    [
        (Score(0.5, 0.01), []),
        (Score(0.31, 0.0), ['color']),  # .3 + 2 x .01 is more
        (Score(0.5, 0.2), ['color', CHANCE]),
        (Score(0.2, 0.01), ['color']),
        (Score(0.05), ['color', CHANCE]),
        (Score(float('nan')), []),
    ],
)
def test_a_model_beats_by_two_standard_errors(model, not_beaten):
    (row,) = table_of(dict(model=model, color=Score(0.3, 0.01)))['rows']
    assert row['not_beaten'] == dict(model=not_beaten)


def test_it_is_plain_json_without_nan():
    result = table_of(dict(model=Score(float('nan'), float('nan')), color=Score(0.3)))
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result['skipped'] == {'a.png': 'broken'}
    assert set(result['seconds']) == {'model', 'color'}


def test_the_layout():
    scores = dict(good=Score(0.5, 0.01), bad=Score(0.123456), color=Score(0.3, 0.004))
    result = table_of(scores, models=('good', 'bad'))
    assert render([result]).splitlines() == [
        '                        good           bad      color          chance',
        'names',
        '  names that are right  0.500 ± 0.010  0.123 !  0.300 ± 0.004  0.100',
        f'{MARK} not better by two standard errors than each of the columns that are no model',
    ]


def test_figures_that_do_not_exist():
    number = table_of(dict(model=Score(float('nan')), color=Score(80.123)), chance=math.nan)
    assert render([number]).splitlines()[2].split() == ['names', 'that', 'are', 'right', 'n/a', '80.1', 'n/a']
    assert MARK not in render([number])


def test_trivial_sources_are_of_the_network():
    columns = trivial_sources(SPEC, seeds=3)
    assert list(columns) == [RANDOM, 'mean color', 'position alone', 'color and position']
    assert [len(of_column) for of_column in columns.values()] == [3, 1, 1, 1]
    assert {source.patch_size for of_column in columns.values() for source in of_column} == {8}
    assert not columns[RANDOM][0].backbone.training
