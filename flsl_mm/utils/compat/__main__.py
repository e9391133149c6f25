"""Run a program with the stand-in for mmcv's compiled ops in place.

mmdet's own ``tools/test.py`` imports mmdet's ops before it reads a config, too early for ``custom_imports``.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from ..terminal import say
from .mmcv_ext import install

USAGE = """usage: python -m flsl_mm.utils.compat PROGRAM.py [ARGUMENTS ...]

Runs PROGRAM.py, for example mmdet's tools/test.py, where mmcv was installed without compiled ops."""


def main() -> None:
    """Run the program that the command line names, with its arguments."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ('-h', '--help'):
        say(*USAGE.splitlines())
        sys.exit(0 if arguments else 2)
    if not Path(arguments[0]).is_file():
        sys.exit(f'error: no program {arguments[0]!r}')
    install()
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).resolve().parent)
    runpy.run_path(arguments[0], run_name='__main__')


if __name__ == '__main__':
    main()
