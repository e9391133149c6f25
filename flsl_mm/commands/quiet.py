"""Keep developers' warnings and debug messages of MMEngine from the console."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flsl_mm.utils.fileio import printable
from flsl_mm.utils.terminal import printable_lines

from .config_files import import_custom_modules

if TYPE_CHECKING:
    from mmengine.config import Config


UNREADABLE = (SyntaxError, OSError, RecursionError, UnicodeDecodeError)
"""What reading a file raises that is no Python; the config itself may raise anything else."""


def read_config_quietly(path: str) -> Config:
    """Read a config, which imports mmcv; that it has no compiled ops is a warning for detectors alone.

    Raises:
        ImportError: As of :func:`~.config_files.import_custom_modules`.
        ValueError: If the file is no config.
    """
    from mmengine.config import Config

    with warnings.catch_warnings(record=True) as caught:
        try:
            cfg = Config.fromfile(path, import_custom_modules=False)
        except FileNotFoundError:  # of a base, named
            raise
        except Exception as error:
            if path.endswith('.py') and not isinstance(error, UNREADABLE):  # raised by the config itself
                raise
            reason = ' '.join(str(error).split())
            raise ValueError(f'{path} is no config that can be read, Python, YAML or JSON: {reason}') from None
        import_custom_modules(cfg, path)
    for warning in caught:
        if cfg.get('default_scope') == 'mmdet' or 'without compiled ops' not in str(warning.message):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return cfg


@contextmanager
def short_warnings(shown: bool = True) -> Iterator[None]:
    """Have warnings printed in one line without their place in the code.

    Args:
        shown: Whether this is the process of its job whose warnings are printed: all have the same.
    """
    formatwarning = warnings.formatwarning
    warnings.formatwarning = lambda message, *place: f'warning: {printable(str(message))}\n' if shown else ''
    try:
        yield
    finally:
        warnings.formatwarning = formatwarning


@contextmanager
def without_debug_messages() -> Iterator[None]:
    """Have debug messages and needless remarks of OpenMMLab not printed.

    MMEngine's ``print_log`` prints debug messages too where no logger is named, as packages do while they are imported.
    """
    from mmengine import logging as mm_logging

    print_log = mm_logging.print_log

    def print_without_debug(msg, logger=None, level=logging.INFO):
        if logger is not None or level > logging.DEBUG:
            print_log(printable_lines(msg) if isinstance(msg, str) else msg, logger, level)

    mm_logging.print_log = print_without_debug
    # Said by mmdet of a metric that no config of ours uses; CocoMetric works without the package.
    warnings.filterwarnings('ignore', message='faster_coco_eval is not installed')
    try:
        yield
    finally:
        mm_logging.print_log = print_log
