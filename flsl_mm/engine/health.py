"""Health of a pretraining run: symptoms of collapse, and the verdict (pure functions)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

LAST = 3
"""Measurements in a row that must show a symptom before it counts."""

MIN_MEASUREMENTS, MIN_STEPS = 5, 100
"""Below either, a run is too short to tell."""

MAX_INITIAL_SHARE = 0.5
"""Above this share of its initial weights in the teacher, a run is too short to tell."""

ADVICE = {
    'not finite': 'lower the learning rate',
    'above chance level': 'the inter-view loss is above ln K, worse than guessing: lower the learning rate',
    'uniform': (
        "every query is spread over all prototypes: lower teacher_temp, or set assignment='sinkhorn' and "
        'volume_weight=0'
    ),
    'few prototypes': (
        "nearly all queries choose the same few prototypes: raise volume_weight or set assignment='sinkhorn', and "
        'lower the learning rate'
    ),
    'low rank': 'the features use few of their dimensions: lower the learning rate, or weigh volume_weight less',
    'patches alike': (
        'all patches of an image have one feature: raise self_scale and cross_scale, or set anchor_width=0.12'
    ),
    'images alike': 'the features of all images are the same: check the images, and lower the learning rate',
    'learned place': (
        'features tell where a patch lies more than those of the random start: set '
        'model.backbone.position_jitter=dict(range=24, zoom=1.5), or with it train on more images or for fewer steps'
    ),
}
"""What each symptom means, and the setting to change. The last one is no collapse."""

PLACE = 'learned place'

PLACE_MARGIN = 0.75
"""Of the variance that place does not explain at the start, the share that must be left. Recorded place shares on
street frames: .58 at the start, .78 to .96 of runs that learned place, .42 to .60 of those that learned more."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of a run at one step.

    Args:
        step: Number of steps done.
        inter: Inter-view loss in nats.
        teacher_entropy: Mean entropy of the teacher's assignments in nats.
        marginal_entropy: Entropy of the student's mean assignment in nats.
        prototypes_used: Prototypes that are the teacher's choice for at least one query of the batch.
        rank: Effective rank of the teacher's tokens.
        within_cosine: Mean cosine similarity of two patches of one image.
        between_share: Share of the tokens' variance that lies between images.
        place_share: Share of it that a patch's place explains; NaN in runs of earlier versions.
    """

    step: int
    inter: float
    teacher_entropy: float
    marginal_entropy: float
    prototypes_used: float
    rank: float
    within_cosine: float
    between_share: float
    place_share: float = math.nan


def symptoms(measurement: Measurement, first: Measurement, num_prototypes: int, batch_size: int) -> set[str]:
    """Name what is wrong at a measurement, as keys of :data:`ADVICE`.

    Args:
        measurement: The measurement.
        first: The measurement before training; ranks and place shares are compared with it.
        num_prototypes: K.
        batch_size: Images of the batch that was measured; an image-level representation uses no more prototypes.
    """
    ln_k = math.log(num_prototypes)
    # The share between images is undefined where all tokens are the same, which is a symptom itself.
    numbers = (
        measurement.inter,
        measurement.teacher_entropy,
        measurement.marginal_entropy,
        measurement.rank,
        measurement.within_cosine,
    )
    if not all(math.isfinite(number) for number in numbers):
        return {'not finite'}
    few = measurement.prototypes_used <= max(1, min(0.02 * num_prototypes, batch_size / 4))
    seen = {
        'above chance level': measurement.inter > 1.1 * ln_k,
        'uniform': measurement.inter > 0.98 * ln_k and measurement.teacher_entropy > 0.9 * ln_k,
        'few prototypes': few or measurement.marginal_entropy < 0.4 * ln_k,
        'low rank': measurement.rank < 0.2 * first.rank,
        'patches alike': measurement.within_cosine > 0.98,
        'images alike': batch_size > 1 and not measurement.between_share > 1e-3,
        PLACE: 1 - measurement.place_share < PLACE_MARGIN * (1 - first.place_share),
    }
    return {name for name, is_seen in seen.items() if is_seen}


def persistent_symptoms(measurements: Sequence[Measurement], num_prototypes: int, batch_size: int) -> list[str]:
    """Name the symptoms that each of the last :data:`LAST` measurements shows, in the order of :data:`ADVICE`."""
    if len(measurements) <= LAST:
        return []
    common = set.intersection(
        *(symptoms(measurement, measurements[0], num_prototypes, batch_size) for measurement in measurements[-LAST:])
    )
    return [name for name in ADVICE if name in common]


def initial_share(momentum_start: float, momentum_end: float, steps: int) -> float:
    """Share of its initial weights in the teacher after a cosine schedule of momentum over ``steps`` steps, 0 to 1."""
    return math.exp(-steps * (1 - (momentum_start + momentum_end) / 2))


def verdict(measurements: Sequence[Measurement], num_prototypes: int, batch_size: int, teacher_initial: float) -> str:
    """Judge a run.

    Args:
        measurements: All measurements, the first before training.
        num_prototypes: K.
        batch_size: Images of the batches that were measured.
        teacher_initial: Share of its initial weights in the teacher, as of :func:`initial_share`.

    Returns:
        ``'healthy'``, ``'collapsed: '`` and the symptoms with advice, ``'learned place: '`` with figures and advice, or
        ``'too short to tell: '`` and why. Healthy says that nothing collapsed and that features are not more place
        than at the start; whether they are of use, probes tell.
    """
    steps = measurements[-1].step if measurements else 0
    if steps < MIN_STEPS or len(measurements) < MIN_MEASUREMENTS:
        return f'too short to tell: {steps} steps'
    found = persistent_symptoms(measurements, num_prototypes, batch_size)
    collapsed = [f'{name} ({ADVICE[name]})' for name in found if name != PLACE]
    if collapsed:
        return 'collapsed: ' + '; '.join(collapsed)
    if teacher_initial > MAX_INITIAL_SHARE:
        return (
            f'too short to tell: {teacher_initial:.0%} of the teacher is its initial weights (lower '
            'default_hooks.schedule.momentum.start, or train longer)'
        )
    if found:
        last = median(measurement.place_share for measurement in measurements[-LAST:])
        return f'{PLACE}: place share {measurements[0].place_share:.2f} -> {last:.2f}: {ADVICE[PLACE]}'
    return 'healthy'


def summary(measurements: Sequence[Measurement]) -> str:
    """Describe what changed from the first measurement to the median of the last ones."""
    last = {
        name: median(getattr(measurement, name) for measurement in measurements[-LAST:])
        for name in Measurement.__dataclass_fields__
    }
    first = measurements[0]
    return (
        f'inter loss {first.inter:.2f} -> {last["inter"]:.2f}, prototypes used {first.prototypes_used:.0f} -> '
        f'{last["prototypes_used"]:.0f}, effective rank {first.rank:.0f} -> {last["rank"]:.0f}, cosine within images '
        f'{first.within_cosine:.2f} -> {last["within_cosine"]:.2f}, variance between images '
        f'{first.between_share:.2f} -> {last["between_share"]:.2f}, place share {first.place_share:.2f} -> '
        f'{last["place_share"]:.2f}'
    )
