"""Parser of options: a command's own description and examples, and mistakes that a terminal can show."""

from __future__ import annotations

import argparse
from typing import NoReturn

from flsl_mm.utils.fileio import printable


class Parser(argparse.ArgumentParser):
    """Shows description and examples as they are written; names of files in a mistake cannot steer the terminal.

    Args:
        description: What the command does.
        epilog: Examples.
    """

    def __init__(self, description: str, epilog: str | None = None) -> None:
        super().__init__(description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Print the mistake in one line, and leave with exit code 2."""
        self.exit(2, f'error: {printable(message)} ({self.prog} --help lists the options)\n')
