"""Options of commands that read a model: checkpoint, device, checks of output files.

Torch is imported where it is used, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flsl_mm.utils.console import ConsoleHandler
from flsl_mm.utils.fileio import printable
from flsl_mm.utils.terminal import say

if TYPE_CHECKING:
    from flsl_mm.evaluation.features import FeatureExtractor

SHOWN_SKIPPED = 10
"""Unusable images that are listed in the terminal."""
TIMM = 'timm:'
"""What stands before the name of a model of timm, in place of a file."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what a checkpoint may leave open, the device, and ``--traceback``."""
    model = parser.add_argument_group('model, where the file does not say')
    model.add_argument('--arch', choices=('tiny', 'small', 'base'))
    model.add_argument('--patch-size', type=positive, metavar='PIXELS')
    model.add_argument('--num-heads', type=positive, metavar='N')
    model.add_argument('--branch', choices=('teacher', 'student'), default='teacher', help='where the file has both')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:1, ...')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')


def positive(text: str) -> int:
    """Read an integer above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not an integer above 0')
    return int(text)


def load_model_from_args(args: argparse.Namespace, path: str, device: str) -> FeatureExtractor:
    """Load a checkpoint as the options of :func:`add_model_options` say, or what ``timm:NAME=WEIGHTS`` names."""
    from flsl_mm.evaluation.features import load_model, load_timm_model

    if not str(path).startswith(TIMM):
        return load_model(path, args.arch, args.patch_size, args.num_heads, args.branch, device, console_logger())
    name, weights = timm_model(path)
    file = None if weights in ('none', 'pretrained') else weights
    return load_timm_model(name, file, pretrained=weights == 'pretrained', device=device)


def console_logger() -> logging.Logger:
    """Return the logger of programs without a Runner: it prints messages alone, to what is the standard output now."""
    logger = logging.getLogger('flsl_mm.programs')
    logger.handlers = [ConsoleHandler(sys.stdout)]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


def timm_model(text: str) -> tuple[str, str]:
    """Split ``timm:NAME=WEIGHTS`` into name and weights: a file, ``none`` or ``pretrained``.

    Raises:
        ValueError: If a part is missing.
    """
    name, _, weights = text.removeprefix(TIMM).partition('=')
    if not name or not weights:
        raise ValueError(
            f'{text} does not say which weights: timm:{name or "NAME"}=FILE, =none for random weights alone, or '
            '=pretrained to let timm fetch them'
        )
    return name, weights


def resolve_device(name: str) -> str:
    """Return the device to compute on.

    Raises:
        ValueError: If it is not there.
    """
    import torch

    if name == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {name} cannot be used: {str(error).splitlines()[0]}') from None
    return name


def check_not_input(path: Path, *inputs: str | os.PathLike | None) -> None:
    """Raise ValueError if a file that is to be written is also read, which it would replace.

    Args:
        path: The file.
        *inputs: What the program reads, ``timm:NAME=FILE`` too; names of other things, and None, are passed over.
    """
    for name in inputs:
        file = Path(str(name).partition('=')[2] if str(name).startswith(TIMM) else str(name))
        if path.exists() and file.exists() and path.samefile(file):
            raise ValueError(f'{path} is to be written and is also read, as {name}: give the output another name')


def check_writable(path: Path, *inputs: str | os.PathLike | None) -> None:
    """Make the folder of a file that is to be written, and find out at once whether the file can be.

    Args:
        path: The file.
        *inputs: As of :func:`check_not_input`.

    Raises:
        ValueError: If it is one of the inputs, or a link, a pipe or a device, which the file would replace.
        OSError: If it cannot be written.
    """
    check_not_input(path, *inputs)
    if path.is_symlink():
        raise ValueError(f'{path} is a link: remove it, or give the name of the file itself')
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f'{path} is not a regular file but a pipe or a device: give the name of a file')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open('a'):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise OSError(f'cannot write {path}: {error.strerror}') from None


def report_skipped(skipped: Mapping[str, str], where: str = '') -> None:
    """List on stderr images that could not be used: why, by path; ``where`` says where all of them are listed."""
    if skipped:
        say(f'{len(skipped)} image{"s" * (len(skipped) > 1)} could not be used:', error=True)
    for path, reason in list(skipped.items())[:SHOWN_SKIPPED]:
        say(f'  {printable(path)} ({printable(reason)})', error=True)
    if len(skipped) > SHOWN_SKIPPED:
        say(f'  and {len(skipped) - SHOWN_SKIPPED} more{where}', error=True)
