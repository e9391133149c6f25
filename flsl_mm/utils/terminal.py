"""The only door to the terminal: what comes from files is shown, never obeyed; imports tqdm where it shows a bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from .fileio import printable

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


def progress(items: Iterable[T], name: str, unit: str, total: int | None = None, leave: bool = True) -> Iterable[T]:
    """Show a bar, in a terminal only, while one goes through ``items``."""
    from tqdm import tqdm  # a start need not wait for it

    return tqdm(items, desc=printable(name), total=total, unit=unit, leave=leave, disable=None)
