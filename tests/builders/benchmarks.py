"""A clock that tests set, given durations in place of measured ones, and small configs."""

from __future__ import annotations

from collections.abc import Callable

import measure
import pytest

PRETRAIN = measure.ROOT / 'configs' / 'pretrain'
DETECTION = measure.ROOT / 'configs' / 'det'


class Clock:
    """A clock of the benchmarks that only goes when it is told to, by adding to ``now``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(measure, 'perf_counter', lambda: self.now)

    def takes(self, seconds: float) -> Callable[..., None]:
        """Make some work of this duration."""

        def work(*args, **kwargs) -> None:
            self.now += seconds

        return work


def give_durations(monkeypatch: pytest.MonkeyPatch, **seconds: list[float]) -> dict:
    """Let the works of a program run as often as they would, but take the given seconds; returns what it asked for."""
    asked = {}

    def time_alternating(works: dict[str, Callable], repeats: int, device: str = 'cpu', warmup: int = 2) -> dict:
        asked.update(works=works, repeats=repeats, warmup=warmup)
        for _ in range(warmup + repeats):
            asked['results'] = {name: work() for name, work in works.items()}
        return {name: seconds[name] for name in works}

    monkeypatch.setattr(measure, 'time_alternating', time_alternating)
    return asked
