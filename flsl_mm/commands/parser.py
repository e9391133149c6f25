"""Parser of options: a command's own description and examples, and mistakes that a terminal can show."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import IO, NoReturn

from flsl_mm.utils.fileio import printable
from flsl_mm.utils.terminal import OutputError


class Parser(argparse.ArgumentParser):
    """Shows description and examples as they are written; names of files in a mistake cannot steer the terminal.

    Args:
        description: What the command does.
        epilog: Examples.
    """

    def __init__(self, description: str, epilog: str | None = None) -> None:
        super().__init__(description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Print the mistake in one line, and leave with exit code 2, printed or not."""
        with suppress(OutputError):
            self._print_message(f'error: {printable(message)} ({self.prog} --help lists the options)\n')
        raise SystemExit(2)

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:
        """Print; argparse would pass over what cannot be printed without a word."""
        stream = file or sys.stderr
        try:
            stream.write(message)
            stream.flush()
        except OSError as error:
            raise OutputError(error) from None
