"""Console output of a run: short log lines and progress bars; the log file in the work folder has everything."""

from __future__ import annotations

import copy
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from tqdm import tqdm

from .terminal import OutputError, bar_size, printable_lines, say

FILE_ONLY = (
    'System environment:',
    'Config:\n',
    'Hooks will be executed in the following order:',
    'Distributed training is not used, all SyncBatchNorm',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'Checkpoints will be saved to',
    'LR is set based on batch size',
    'Exp name: ',
    'Evaluating bbox...',
    'Evaluating segm...',
    'bbox_mAP_copypaste: ',
    'segm_mAP_copypaste: ',
)
"""How the messages begin that MMEngine and mmdet log of themselves; whatever else is logged is shown."""

_open: set[tqdm] = set()
_hiding = False


class LogText(str):
    """A message for the log file, of which the console shows something shorter.

    Attributes:
        console: What the console shows; nothing where it is empty.
    """

    console: str

    def __new__(cls, text: str, console: str) -> LogText:
        message = super().__new__(cls, text)
        message.console = console
        return message


class ConsoleFormatter(logging.Formatter):
    """The time and the message; warnings and errors are called so.

    Args:
        verbose: Whether messages are shown as the log file has them.
    """

    def __init__(self, verbose: bool = False) -> None:
        super().__init__('%(asctime)s %(message)s', '%H:%M:%S')
        self.verbose = verbose

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Shorten what has a shorter form, and put the level before what is more than information."""
        if isinstance(record.msg, LogText) and not self.verbose:
            record.message = record.msg.console
        if record.levelno > logging.INFO:
            record.message = f'{record.levelname.lower()}: {record.message}'
        return super().formatMessage(record)


class ConsoleHandler(logging.StreamHandler):
    """Writes log records above the progress bar, if there is one, without what is for the log file alone.

    Args:
        stream: The console.
        verbose: Whether all records are shown.
    """

    def __init__(self, stream: TextIO | None = None, verbose: bool = False) -> None:
        super().__init__(stream)
        self.verbose = verbose
        self.setFormatter(ConsoleFormatter(verbose))

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        """Return whether a record is shown."""
        file_only = getattr(record.msg, 'console', None) == '' or (_hiding and record.levelno <= logging.INFO)
        file_only = file_only or record.getMessage().lstrip('\n-').startswith(FILE_ONLY)
        return (self.verbose or not file_only) and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        try:
            tqdm.write(printable_lines(self.format(record)), file=self.stream)
            self.flush()
        except OSError as error:  # a closed pipe, a full disk: the run goes on, and the log file has everything
            self.stream = open(os.devnull, 'w')  # noqa: SIM115  it stays open
            with suppress(OutputError):
                say(f'warning: the console is not written any more ({error.strerror})', error=True)
        except Exception:
            self.handleError(record)


def use_short_lines(logger: logging.Logger, verbose: bool = False) -> None:
    """Put a :class:`ConsoleHandler` in the place of a logger's handler for the console; files are left as they are.

    Args:
        logger: The logger.
        verbose: Whether the console shows all that the files get.
    """
    for index, handler in enumerate(logger.handlers):
        if type(handler) is logging.StreamHandler:
            console = ConsoleHandler(handler.stream, verbose)
            console.setLevel(handler.level)
            for each in handler.filters:
                console.addFilter(each)
            logger.handlers[index] = console


class PrintableFormatter(logging.Formatter):
    """Formats as another one does, with what a terminal would obey in a message as Python's escapes.

    Args:
        formatter: The other one, which may add colors.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        shown = copy.copy(record)
        shown.msg, shown.args = printable_lines(record.getMessage()), ()
        if record.exc_info:
            shown.exc_text = printable_lines(self.formatter.formatException(record.exc_info))
        return self.formatter.format(shown)


def show_printable(logger: logging.Logger) -> None:
    """Have a logger's own handler for the console show what a terminal would obey, and leave all else as it is."""
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler and not isinstance(handler.formatter, PrintableFormatter):
            handler.setFormatter(PrintableFormatter(handler.formatter or logging.Formatter()))


@contextmanager
def hidden(hide: bool) -> Iterator[None]:
    """Keep from the console what is logged in this context, because a bar shows it already."""
    global _hiding
    _hiding = hide
    try:
        yield
    finally:
        _hiding = False


def is_terminal() -> bool:
    """Return whether somebody watches standard output."""
    return sys.stdout.isatty()


def open_bar(
    total: int, done: int = 0, name: str = '', unit: str = 'step', leave: bool = True, place: int | None = None
) -> tqdm:
    """Show a progress bar in the terminal; it counts what is done in this run for the speed and the time left."""
    size = bar_size(sys.stdout)
    bar = tqdm(total=total, initial=done, desc=name, unit=unit, leave=leave, position=place, file=sys.stdout, **size)
    _open.add(bar)
    return bar


def pause_bar(bar: tqdm | None) -> None:
    """Take a bar off the terminal until :func:`resume_bar`, whatever is written meanwhile."""
    if bar is not None:
        bar.clear()
        bar.disable = True
        bar.paused_at = time.time()


def resume_bar(bar: tqdm | None) -> None:
    """Show a bar again; the time of the pause does not count for its speed."""
    if bar is not None and bar.disable:
        bar.disable = False
        pause = time.time() - bar.paused_at
        bar.start_t += pause
        bar.last_print_t += pause
        bar.refresh()


def close_bar(bar: tqdm | None) -> None:
    """Leave a bar as it stands."""
    if bar is not None:
        bar.close()
        _open.discard(bar)


def close_bars() -> None:
    """Leave all bars as they stand, so that an error gets a line of its own."""
    for bar in list(_open):
        close_bar(bar)
