"""Finding out what is installed; packages are imported in another process, which they may end."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from flsl_mm.version import __version__

from .facts import FORKS, REQUIRED, UNKNOWN, UPSTREAM, Facts, owners

MODULES = (
    'numpy',
    'PIL',
    'pycocotools.mask',
    'torch',
    'torchvision',
    'timm',
    'kornia',
    'mmengine',
    'mmcv',
    'mmpretrain',
    'mmdet',
)
"""What is imported for a try, in this order."""
OPS, CONFIGS, ACCELERATOR = 'mmcv ops', 'mmdet configs', 'accelerator'
"""What else is asked in the other process, after the modules."""
NOT_THERE = 'ModuleNotFoundError'
TIMEOUT = 300
"""Seconds after which an import counts as hanging."""


def gather() -> Facts:
    """Look at this Python's packages."""
    names = {*REQUIRED, 'setuptools', *FORKS.values(), *(owner for group in UPSTREAM.values() for owner in group)}
    versions = {name: version for name in sorted(names) if (version := installed_version(name)) is not None}
    answers = ask([*MODULES, OPS, CONFIGS, ACCELERATOR])
    failures = {name: answers[name] for name in MODULES if answers[name]}
    for name in MODULES:
        if not owners(Facts(versions=versions), name) and answers[name].startswith(NOT_THERE):
            del failures[name]
    mim_configs = answers[CONFIGS] == 'there'
    return Facts(sys.version_info[:3], versions, failures, answers[OPS], mim_configs, answers[ACCELERATOR], __version__)


def installed_version(name: str) -> str | None:
    """Give a distribution's version, or None if it is not installed; ``UNKNOWN`` where its metadata is damaged."""
    try:
        return metadata.version(name) or UNKNOWN
    except metadata.PackageNotFoundError:
        return None
    # Damaged metadata raises errors of many kinds.
    except Exception:
        return UNKNOWN


def ask(questions: Sequence[str]) -> dict[str, str]:
    """Have other processes answer: import names, with '' or an error in a line, and what else is asked.

    A process that ends before it has answered gives the answer by that, and the next one goes on behind it.
    """
    answers: dict[str, str] = {}
    while len(answers) < len(questions):
        rest = list(questions[len(answers) :])
        flags = [flag for flag, given in (('-S', sys.flags.no_site), ('-E', sys.flags.ignore_environment)) if given]
        command = [sys.executable, *flags, '-m', 'flsl_mm.doctor', '--answer', *rest]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors='replace', timeout=TIMEOUT)
            lines, end = done.stdout.splitlines(), ending(done.returncode)
        except subprocess.TimeoutExpired as expired:
            output = expired.stdout or ''
            lines = (output.decode(errors='replace') if isinstance(output, bytes) else output).splitlines()
            end = f'it takes more than {TIMEOUT} s'
        answers |= dict(json.loads(line) for line in lines if line.startswith('["'))
        if len(answers) < len(questions):
            answers[questions[len(answers)]] = end
    return answers


def ending(code: int) -> str:
    """Say how a process ended that should have gone on."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f'it ends Python by {signal.Signals(-code).name}'
    return f'it ends Python with exit code {code}'


def answer(questions: Sequence[str]) -> Iterator[str]:
    """Answer in this process, each in a line of JSON; what packages print is left out."""
    others = {OPS: look_for_ops, CONFIGS: look_for_configs, ACCELERATOR: find_accelerator}
    for question in questions:
        with contextlib.redirect_stdout(io.StringIO()):
            found = others[question]() if question in others else import_error(question) or ''
        yield json.dumps([question, found])


def import_error(module: str) -> str | None:
    """Import a module; returns its error in a line, or ``None``."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            importlib.import_module(module)
        # Broken packages raise errors of any kind, and some leave the program.
        except BaseException as error:
            return ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
    return None


def look_for_ops() -> str:
    """Tell the state of mmcv's compiled ops, as in :class:`~.facts.Facts`."""
    if import_error('mmcv') is None:
        spec = importlib.util.find_spec('mmcv._ext')
        if spec is not None and spec.origin != 'flsl_mm.compat':
            return import_error('mmcv._ext') or 'compiled'
    return 'missing'


def look_for_configs() -> str:
    """Tell whether mmdet brings its configs."""
    mmdet = importlib.util.find_spec('mmdet')
    found = mmdet is not None and mmdet.origin and (Path(mmdet.origin).parent / '.mim' / 'configs').is_dir()
    return 'there' if found else 'missing'


def find_accelerator() -> str:
    """Name the accelerators that torch sees."""
    torch = sys.modules.get('torch')
    try:
        if torch.cuda.is_available():
            return ', '.join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        if torch.backends.mps.is_available():
            return 'Apple GPU (mps)'
    # No torch, or a broken one, which is reported elsewhere.
    except Exception:
        return 'unknown'
    return 'none: training runs on the CPU'
