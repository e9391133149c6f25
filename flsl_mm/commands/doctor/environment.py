"""Find out which packages are installed and import; imports run in another process, which they may crash."""

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

from flsl_mm.utils.version import __version__

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
"""What is imported to check it, in this order."""
OPS, CONFIGS, ACCELERATOR = 'mmcv ops', 'mmdet configs', 'accelerator'
"""What else is checked in the other process, after the modules."""
NOT_INSTALLED = 'ModuleNotFoundError'
PACKAGE_FOLDER = Path(__file__).parents[3]
RUN_CHECKS = """
import sys
sys.path[:] = [*filter(None, sys.path), sys.argv[1]]
from flsl_mm.commands.doctor.environment import run_checks
for line in run_checks(sys.argv[2:]):
    print(line, flush=True)
"""
"""Program of the other process; modules in the current folder, which may be named as packages are, are not run."""
TIMEOUT = 300
"""Seconds after which an import counts as hanging."""


def gather() -> Facts:
    """Collect the facts about this Python's packages."""
    names = {*REQUIRED, 'setuptools', *FORKS.values(), *(owner for group in UPSTREAM.values() for owner in group)}
    versions = {name: version for name in sorted(names) if (version := installed_version(name)) is not None}
    results = check_in_subprocess([*MODULES, OPS, CONFIGS, ACCELERATOR])
    failures = {name: results[name] for name in MODULES if results[name]}
    for name in MODULES:
        if not owners(Facts(versions=versions), name) and results[name].startswith(NOT_INSTALLED):
            del failures[name]
    mim_configs = results[CONFIGS] == 'there'
    return Facts(sys.version_info[:3], versions, failures, results[OPS], mim_configs, results[ACCELERATOR], __version__)


def installed_version(name: str) -> str | None:
    """Return a distribution's version, or None if it is not installed; ``UNKNOWN`` where its metadata is damaged."""
    try:
        return metadata.version(name) or UNKNOWN
    except metadata.PackageNotFoundError:
        return None
    # Damaged metadata raises errors of many kinds.
    except Exception:
        return UNKNOWN


def check_in_subprocess(checks: Sequence[str]) -> dict[str, str]:
    """Run checks in other processes; returns the result of each, for an import '' or its error in one line.

    If a process ends during a check, the way it ended is the result, and another process runs the remaining checks.
    """
    results: dict[str, str] = {}
    while len(results) < len(checks):
        rest = list(checks[len(results) :])
        flags = [flag for flag, given in (('-S', sys.flags.no_site), ('-E', sys.flags.ignore_environment)) if given]
        command = [sys.executable, *flags, '-c', RUN_CHECKS, str(PACKAGE_FOLDER), *rest]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors='replace', timeout=TIMEOUT)
            lines, end = done.stdout.splitlines(), exit_reason(done.returncode)
        except subprocess.TimeoutExpired as expired:
            output = expired.stdout or ''
            lines = (output.decode(errors='replace') if isinstance(output, bytes) else output).splitlines()
            end = f'it takes more than {TIMEOUT} s'
        results |= dict(json.loads(line) for line in lines if line.startswith('["'))
        if len(results) < len(checks):
            results[checks[len(results)]] = end
    return results


def exit_reason(code: int) -> str:
    """Describe how a process ended that should not have."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f'it ends Python by {signal.Signals(-code).name}'
    return f'it ends Python with exit code {code}'


def run_checks(checks: Sequence[str]) -> Iterator[str]:
    """Run checks in this process, and yield a line of JSON for each; the output of packages is discarded."""
    others = {OPS: ops_state, CONFIGS: configs_state, ACCELERATOR: accelerator_names}
    for check in checks:
        with contextlib.redirect_stdout(io.StringIO()):
            found = others[check]() if check in others else import_error(check) or ''
        yield json.dumps([check, found])


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


def ops_state() -> str:
    """Return the state of mmcv's compiled ops, as in :class:`~.facts.Facts`."""
    if import_error('mmcv') is None:
        spec = importlib.util.find_spec('mmcv._ext')
        if spec is not None and spec.origin != 'flsl_mm.utils.compat':
            return import_error('mmcv._ext') or 'compiled'
    return 'missing'


def configs_state() -> str:
    """Return whether mmdet brings its configs: 'there' or 'missing'."""
    mmdet = importlib.util.find_spec('mmdet')
    found = mmdet is not None and mmdet.origin and (Path(mmdet.origin).parent / '.mim' / 'configs').is_dir()
    return 'there' if found else 'missing'


def accelerator_names() -> str:
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
