"""The only door to the terminal: what comes from files is shown, never obeyed; imports tqdm where it shows a bar."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO, TypeVar

from .fileio import printable

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar('T')


class OutputError(Exception):
    """What was to be printed could not be; what the program did is done.

    Attributes:
        closed: Whether nobody reads it any more, as of ``flsl-mm | head``.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f'the output cannot be printed: {error.strerror}')
        self.closed = isinstance(error, BrokenPipeError)


def say(*lines: object, error: bool = False) -> None:
    """Print lines; whatever a terminal would obey in one, line breaks too, appears as Python's escapes.

    Args:
        *lines: The lines. A text of several, of which no part comes from elsewhere, is given as
            ``*text.splitlines()``.
        error: Whether they go to stderr.

    Raises:
        OutputError: If they cannot be written there.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        print(*(printable(str(line)) for line in lines), sep='\n', file=stream, flush=True)
    except OSError as problem:
        raise OutputError(problem) from None


def open_closed_streams() -> None:
    """Put an empty device where standard streams were closed; the next file that is opened would take their place."""
    for name, mode in (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w')):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding='utf-8'))  # noqa: SIM115  it stays open


def printable_lines(text: str) -> str:
    """Write what a terminal would obey as Python's escapes, but for line breaks."""
    return '\n'.join(map(printable, text.split('\n')))


LATEST, EARLIEST = 30, 5
"""Seconds between two lines of progress: at most, and at least where a tenth of the work is done before that."""


class Pace:
    """Says when a line of progress is due where no terminal shows a bar, for all programs.

    Args:
        total: Amount of work; without it lines are due by time alone.
    """

    def __init__(self, total: float | None = None) -> None:
        self.total = total
        self.told()

    def told(self, done: float = 0) -> None:
        """Note that a line was written, and how much work was done."""
        self.at, self.done = time.monotonic(), done

    def due(self, done: float = 0) -> bool:
        """Return whether a line is due when this much work is done."""
        waited = time.monotonic() - self.at
        tenth = self.total is not None and done - self.done >= self.total / 10
        return waited >= LATEST or (tenth and waited >= EARLIEST)


class ProgressLines:
    """Writes lines to stderr in the place of a bar: what is done, and the time left.

    Args:
        total: Amount of work.
        name: What is done.
        unit: What is counted, in the singular.
    """

    def __init__(self, total: int, name: str, unit: str) -> None:
        self.total, self.name, self.unit = total, name, unit
        self.done, self.pace, self.start = 0, Pace(total), time.monotonic()

    def update(self, count: int = 1) -> None:
        """Count what was done, and write a line where one is due."""
        self.done += count
        if self.pace.due(self.done):
            self.pace.told(self.done)
            seconds = (time.monotonic() - self.start) / self.done * max(self.total - self.done, 0)
            left = timedelta(seconds=round(seconds))
            say(f'{self.name}: {self.done}/{self.total} {self.unit}s, {left} left', error=True)

    def close(self) -> None:
        """Do as a bar does at its end."""

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def bar_size(stream: TextIO) -> dict[str, object]:
    """Return tqdm's options for the size of a terminal."""
    # Some terminals (of containers) tell no size, which tqdm takes for one of 0 by 0, where it shows nothing.
    told = 0 not in os.get_terminal_size(stream.fileno())
    return dict(dynamic_ncols=True) if told else dict(ncols=120, nrows=20)


def open_progress(total: int, name: str, unit: str, leave: bool = True, show: bool = True) -> tqdm | ProgressLines:
    """Open a bar on stderr where that is a terminal, else lines; ``update`` counts what is done.

    Args:
        total: Amount of work.
        name: What is done.
        unit: What is counted, in the singular.
        leave: Whether a bar stays in the terminal when it is closed.
        show: Whether anything is shown.
    """
    show = show and os.environ.get('RANK', '') in ('', '0')  # of torchrun: one process of all
    if show and not sys.stderr.isatty():
        return ProgressLines(total, name, unit)
    from tqdm import tqdm  # a start need not wait for it

    size = bar_size(sys.stderr) if show else {}
    return tqdm(desc=printable(name), total=total, unit=unit, leave=leave, disable=not show, **size)


def progress(items: Iterable[T], name: str, unit: str, total: int | None = None, leave: bool = True) -> Iterator[T]:
    """Show a bar, or lines, while one goes through ``items``; ``total`` is their number if they have no length."""
    with open_progress(len(items) if total is None else total, name, unit, leave) as shown:
        for item in items:
            yield item
            shown.update()
