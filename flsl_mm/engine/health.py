"""Whether a pretraining run learns: what is looked at now and then, and the verdict (pure functions)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

LAST = 3
"""Looks in a row that must show a symptom before it counts."""

LEAST_LOOKS, LEAST_STEPS = 5, 100
"""Below either, a run is too short to tell."""

MOST_INITIAL = 0.5
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
    'images alike': 'the features of all images are the same: look at the images, and lower the learning rate',
}
"""What each symptom says, and the knob to turn."""


@dataclass(frozen=True)
class Look:
    """What one look at a run saw.

    Args:
        step: Number of steps done.
        inter: Inter-view loss in nats.
        teacher_entropy: Mean entropy of the teacher's assignments in nats.
        marginal_entropy: Entropy of the student's mean assignment in nats.
        prototypes_used: Prototypes that are the teacher's choice for at least one query of the batch.
        rank: Effective rank of the teacher's tokens.
        within_cosine: Mean cosine similarity of two patches of one image.
        between_share: Share of the tokens' variance that lies between images.
    """

    step: int
    inter: float
    teacher_entropy: float
    marginal_entropy: float
    prototypes_used: float
    rank: float
    within_cosine: float
    between_share: float


def symptoms(look: Look, first: Look, num_prototypes: int, batch_size: int) -> set[str]:
    """Name what is wrong at a look, as keys of :data:`ADVICE`.

    Args:
        look: The look.
        first: The look before training; ranks are compared with it.
        num_prototypes: K.
        batch_size: Images of the batch that was looked at; an image-level representation uses no more prototypes.
    """
    ln_k = math.log(num_prototypes)
    # The share between images is undefined where all tokens are the same, which is a symptom itself.
    numbers = (look.inter, look.teacher_entropy, look.marginal_entropy, look.rank, look.within_cosine)
    if not all(math.isfinite(number) for number in numbers):
        return {'not finite'}
    few = look.prototypes_used <= max(1, min(0.02 * num_prototypes, batch_size / 4))
    seen = {
        'above chance level': look.inter > 1.1 * ln_k,
        'uniform': look.inter > 0.98 * ln_k and look.teacher_entropy > 0.9 * ln_k,
        'few prototypes': few or look.marginal_entropy < 0.4 * ln_k,
        'low rank': look.rank < 0.2 * first.rank,
        'patches alike': look.within_cosine > 0.98,
        'images alike': batch_size > 1 and not look.between_share > 1e-3,
    }
    return {name for name, is_seen in seen.items() if is_seen}


def lasting(looks: Sequence[Look], num_prototypes: int, batch_size: int) -> list[str]:
    """Name the symptoms that each of the last :data:`LAST` looks shows, in the order of :data:`ADVICE`."""
    if len(looks) <= LAST:
        return []
    common = set.intersection(*(symptoms(look, looks[0], num_prototypes, batch_size) for look in looks[-LAST:]))
    return [name for name in ADVICE if name in common]


def initial_share(momentum_start: float, momentum_end: float, steps: int) -> float:
    """Share of its initial weights in the teacher after a cosine schedule of momentum over ``steps`` steps, 0 to 1."""
    return math.exp(-steps * (1 - (momentum_start + momentum_end) / 2))


def verdict(looks: Sequence[Look], num_prototypes: int, batch_size: int, teacher_initial: float) -> str:
    """Judge a run.

    Args:
        looks: All looks, the first before training.
        num_prototypes: K.
        batch_size: Images of the batches that were looked at.
        teacher_initial: Share of its initial weights in the teacher, as of :func:`initial_share`.

    Returns:
        ``'healthy'``, ``'collapsed: '`` and the symptoms with advice, or ``'too short to tell: '`` and why. Healthy
        says that nothing collapsed; whether features are of use, probes tell.
    """
    steps = looks[-1].step if looks else 0
    if steps < LEAST_STEPS or len(looks) < LEAST_LOOKS:
        return f'too short to tell: {steps} steps'
    found = lasting(looks, num_prototypes, batch_size)
    if found:
        return 'collapsed: ' + '; '.join(f'{name} ({ADVICE[name]})' for name in found)
    if teacher_initial > MOST_INITIAL:
        return (
            f'too short to tell: {teacher_initial:.0%} of the teacher is its initial weights (lower '
            'default_hooks.schedule.momentum.start, or train longer)'
        )
    return 'healthy'


def summary(looks: Sequence[Look]) -> str:
    """Tell what changed from the first look to the median of the last ones."""
    last = {name: median(getattr(look, name) for look in looks[-LAST:]) for name in Look.__dataclass_fields__}
    first = looks[0]
    return (
        f'inter loss {first.inter:.2f} -> {last["inter"]:.2f}, prototypes used {first.prototypes_used:.0f} -> '
        f'{last["prototypes_used"]:.0f}, effective rank {first.rank:.0f} -> {last["rank"]:.0f}, cosine within images '
        f'{first.within_cosine:.2f} -> {last["within_cosine"]:.2f}, variance between images '
        f'{first.between_share:.2f} -> {last["between_share"]:.2f}'
    )
