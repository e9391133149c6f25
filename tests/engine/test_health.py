"""Symptoms and verdict, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from flsl_mm.engine import health
from flsl_mm.engine.schedules import cosine

LN_K = math.log(256)
FIRST = health.Measurement(1, LN_K, 4.8, 5.1, 130.0, rank=70.0, within_cosine=0.5, between_share=0.2)
GOOD = health.Measurement(500, 2.4, 1.5, 5.4, 240.0, rank=50.0, within_cosine=0.4, between_share=0.2)
SIGNS = {
    'not finite': dict(inter=math.nan),
    'above chance level': dict(inter=1.2 * LN_K),
    'uniform': dict(inter=LN_K, teacher_entropy=0.95 * LN_K),
    'few prototypes': dict(prototypes_used=4.0),
    'low rank': dict(rank=10.0),
    'patches alike': dict(within_cosine=0.99),
    'images alike': dict(between_share=math.nan),
}


def run(*measurements):
    return [FIRST, *(replace(measurement, step=100 * (i + 1)) for i, measurement in enumerate(measurements))]


def test_every_symptom_has_a_sign_and_advice():
    assert set(SIGNS) == set(health.ADVICE)


@pytest.mark.parametrize('name', SIGNS)
def test_a_sign_is_a_symptom_and_alone(name):
    assert health.symptoms(GOOD, FIRST, 256, 16) == set()
    assert health.symptoms(replace(GOOD, **SIGNS[name]), FIRST, 256, 16) == {name}


def test_few_prototypes_are_few_for_the_batch():
    # An image-level representation uses about as many prototypes as a batch has images.
    measurement = replace(GOOD, prototypes_used=14.0)
    assert health.symptoms(measurement, FIRST, 256, 16) == set()
    assert health.symptoms(measurement, FIRST, 4096, 64) == {'few prototypes'}


def test_a_marginal_on_few_prototypes_counts_as_few():
    assert health.symptoms(replace(GOOD, marginal_entropy=math.log(2)), FIRST, 256, 16) == {'few prototypes'}


def test_only_what_lasts_counts():
    bad = replace(GOOD, rank=1.0)
    assert health.persistent_symptoms(run(bad, GOOD, bad, bad), 256, 16) == []
    assert health.persistent_symptoms(run(GOOD, bad, bad, bad), 256, 16) == ['low rank']
    assert health.persistent_symptoms([FIRST, bad, bad][:2], 256, 16) == []


def test_verdicts():
    assert health.verdict(run(*[GOOD] * 5), 256, 16, 0.05) == 'healthy'
    collapsed = health.verdict(run(*[replace(GOOD, rank=1.0, inter=LN_K, teacher_entropy=LN_K)] * 5), 256, 16, 0.05)
    assert collapsed == f'collapsed: uniform ({health.ADVICE["uniform"]}); low rank ({health.ADVICE["low rank"]})'
    assert health.verdict(run(*[GOOD] * 5), 256, 16, 0.74).startswith('too short to tell: 74% of the teacher')
    assert health.verdict(run(*[GOOD] * 3), 256, 16, 0.05) == 'too short to tell: 300 steps'
    assert health.verdict(
        [replace(measurement, step=measurement.step // 10) for measurement in run(*[GOOD] * 5)], 256, 16, 0.05
    ) == ('too short to tell: 50 steps')
    assert health.verdict([], 256, 16, 0.05) == 'too short to tell: 0 steps'


def test_initial_share_is_the_product_of_the_momenta():
    momenta = [cosine(step / 4000, 0.998, 1.0) for step in range(4000)]
    assert health.initial_share(0.998, 1.0, 4000) == pytest.approx(math.prod(momenta), rel=0.01)
    # 300 images at the paper's settings: 4 steps of 64 an epoch, the momentum scaled from a batch of 512.
    assert health.initial_share(0.996 ** (64 / 512), 1.0, 1200) == pytest.approx(0.74, abs=0.005)


def test_summary_names_first_and_last():
    assert 'effective rank 70 -> 50' in health.summary(run(*[GOOD] * 5))
