"""Symptoms and verdict, by hand."""

import math
from dataclasses import replace

import pytest

from flsl_mm.engine import health
from flsl_mm.engine.schedules import cosine

LN_K = math.log(256)
FIRST = health.Measurement(1, LN_K, 4.8, 5.1, 130.0, rank=70.0, within_cosine=0.5, between_share=0.2, place_share=0.58)
GOOD = health.Measurement(500, 2.4, 1.5, 5.4, 240.0, rank=50.0, within_cosine=0.4, between_share=0.2, place_share=0.43)
SIGNS = {
    'not finite': dict(inter=math.nan),
    'above chance level': dict(inter=1.2 * LN_K),
    'uniform': dict(inter=LN_K, teacher_entropy=0.95 * LN_K),
    'few prototypes': dict(prototypes_used=4.0),
    'low rank': dict(rank=10.0),
    'patches alike': dict(within_cosine=0.99),
    'images alike': dict(between_share=math.nan),
    'learned place': dict(place_share=0.84),
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
    early = [replace(measurement, step=measurement.step // 10) for measurement in run(*[GOOD] * 5)]
    assert health.verdict(early, 256, 16, 0.05) == 'too short to tell: 50 steps'
    assert health.verdict([], 256, 16, 0.05) == 'too short to tell: 0 steps'
    assert 'effective rank 70 -> 50' in health.summary(run(*[GOOD] * 5))


def test_initial_share_is_the_product_of_the_momenta():
    momenta = [cosine(step / 4000, 0.998, 1.0) for step in range(4000)]
    assert health.initial_share(0.998, 1.0, 4000) == pytest.approx(math.prod(momenta), rel=0.01)
    # 300 images at the paper's settings: 4 steps of 64 an epoch, the momentum scaled from a batch of 512.
    assert health.initial_share(0.996 ** (64 / 512), 1.0, 1200) == pytest.approx(0.74, abs=0.005)


PLACE_SHARES = {
    'recipe for few images on streets, 880 steps': (0.58, 0.84, True),
    'on scenes, 500 steps': (0.58, 0.93, True),
    'on scenes, 300 steps, measured on scenes': (0.29, 0.77, True),
    'position jitter, streets, 2,000 steps': (0.58, 0.78, True),
    'position jitter, streets, 500 steps': (0.58, 0.55, False),
    "position jitter, the paper's scales and color jitter, scenes, 1,500 steps": (0.58, 0.43, False),
    'likewise with flips': (0.58, 0.60, False),
    'likewise with flips, measured on scenes': (0.30, 0.02, False),
    'position jitter, image-level': (0.58, 0.09, False),
}
"""Place shares recorded of random starts and ends, on streets unless said, and whether place is what the run learned:
then features told the class of object patches on scenes worse than random weights did."""


@pytest.mark.parametrize(('start', 'end', 'is_place'), PLACE_SHARES.values(), ids=PLACE_SHARES)
def test_the_verdict_knows_place(start, end, is_place):
    measurements = run(*[replace(GOOD, place_share=end)] * 5)
    verdict = health.verdict([replace(FIRST, place_share=start), *measurements[1:]], 256, 16, 0.05)
    assert verdict.startswith(f'learned place: place share {start:.2f} -> {end:.2f}: ' if is_place else 'healthy')
    assert ('position_jitter' in verdict) == is_place


def test_collapse_comes_before_place_and_earlier_versions_have_none():
    collapsed = health.verdict(run(*[replace(GOOD, place_share=0.9, within_cosine=0.99)] * 5), 256, 16, 0.05)
    assert collapsed == f'collapsed: patches alike ({health.ADVICE["patches alike"]})'
    earlier = [replace(measurement, place_share=math.nan) for measurement in run(*[GOOD] * 5)]
    assert health.verdict(earlier, 256, 16, 0.05) == 'healthy'
