"""Interface of probes: what they are called with and what they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..bootstrap import bootstrap_error
from .sources import FeatureSource


@dataclass(frozen=True)
class Score:
    """A measured number.

    Attributes:
        value: The number; NaN if the data do not give one.
        error: Its standard error over the images that were evaluated, where it is a mean over them.
        parts: What it is the mean of, by name.
    """

    value: float
    error: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


def share_score(counts: Tensor) -> Score:
    """Make the figure of a share from what each image counts: how many are right, of how many (N, 2)."""
    right, all_ = counts.double().sum(0).tolist()
    return Score(right / all_ if all_ else float('nan'), bootstrap_error(counts))


def accuracy_score(right: Tensor) -> Score:
    """Make the figure of an accuracy from what each image counts (N,), 0 or 1."""
    return share_score(torch.stack([right.double(), torch.ones_like(right, dtype=torch.double)], dim=-1))


class Probe(Protocol):
    """Measures features on data.

    Attributes:
        title: The data and settings in a line.
        rows: Name of each figure in tables, by key.
        more_is_better: Whether a greater figure is a better one.
        skipped: Why an image could not be used, by path.
    """

    title: str
    rows: Mapping[str, str]
    more_is_better: bool
    skipped: dict[str, str]

    def __call__(self, source: FeatureSource) -> dict[str, Score]:
        """Measure features; the keys are those of ``rows``."""

    def chance(self, patch_size: int) -> dict[str, float]:
        """Return what blind answers score, for features of patches of that size; a figure without is left out."""
