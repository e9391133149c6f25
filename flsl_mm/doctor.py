"""Look at the installed packages and name the command that mends what is wrong: ``python -m flsl_mm.doctor``.

Nothing but Python's own library is needed: packages that are missing or broken are what this is for.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

FORKS = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
    'mmpretrain': 'onedl-mmpretrain',
}
"""Distribution of the maintained fork that owns an import name."""
UPSTREAM = {
    'mmengine': ('mmengine',),
    'mmcv': ('mmcv', 'mmcv-lite'),
    'mmdet': ('mmdet',),
    'mmpretrain': ('mmpretrain',),
}
"""Upstream's distributions that own the same names."""
REQUIRED = ('torch', 'torchvision', 'timm', 'kornia', 'numpy', 'pillow', 'pycocotools')
MODULES = ('torch', 'torchvision', 'timm', 'kornia', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet')
"""What is imported for a try, in this order."""
INSTALL_FORKS = "pip install -e '.[mm]' -c requirements/tested.txt"
INSTALL_UPSTREAM = "pip install -e '.[upstream]' -c requirements/tested.txt"
INSTALL_BESIDE_MMCV = "pip install -e . mmengine mmdet mmpretrain 'setuptools<81' -c requirements/tested.txt"
"""Upstream without mmcv-lite, which would overwrite an installed mmcv."""
MMCV_LITE = 'pip uninstall -y mmcv mmcv-lite && pip install "mmcv-lite<2.2"'
TESTED_TORCH = 'pip install --force-reinstall torch==2.14.1 torchvision==0.29.1'
COMPILE_MMCV = 'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-deps --force-reinstall --no-binary :all: '
"""Followed by the distribution."""


@dataclass(frozen=True)
class Facts:
    """What is installed.

    Args:
        python: Python's version.
        versions: Version of each installed distribution that matters.
        failures: Import name -> error in a line, for packages that are installed and cannot be imported.
        ops: State of mmcv's compiled ops: ``'compiled'``, ``'missing'``, or the error of importing them.
        mim_configs: Whether mmdet brings its configs (``_base_ = 'mmdet::...'`` works).
        accelerator: Name of the accelerator that torch sees.
    """

    python: tuple[int, ...] = (3, 11)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    ops: str = 'compiled'
    mim_configs: bool = True
    accelerator: str = 'none'


@dataclass(frozen=True)
class Finding:
    """Something to tell: what it is, and the command that mends it.

    Args:
        text: One or two sentences.
        command: The command.
        harmless: Whether flsl_mm works all the same.
    """

    text: str
    command: str
    harmless: bool = False


def numbers(version: str) -> tuple[int, ...]:
    """Give the leading numbers of a version, ``'2.14.1+cpu'`` -> (2, 14, 1)."""
    return tuple(int(part) for part in re.match(r'[\d.]*\d', version)[0].split('.'))


def owners(facts: Facts, name: str) -> list[str]:
    """List the installed distributions that own an OpenMMLab import name; more than one overwrite each other."""
    return [owner for owner in (FORKS[name], *UPSTREAM[name]) if owner in facts.versions]


def family(facts: Facts) -> str:
    """Tell which OpenMMLab is installed: ``'forks'``, ``'upstream'``, ``'mixed'`` or ``'none'``."""
    forks = any(fork in facts.versions for fork in FORKS.values())
    upstream = any(owner in facts.versions for group in UPSTREAM.values() for owner in group)
    return {(True, True): 'mixed', (True, False): 'forks', (False, True): 'upstream'}.get((forks, upstream), 'none')


def install(facts: Facts) -> str:
    """Give the command that installs everything of the family that is there, or else of the forks."""
    if family(facts) == 'upstream':
        return INSTALL_BESIDE_MMCV if 'mmcv' in facts.versions else INSTALL_UPSTREAM
    return switch_to_forks(facts) if family(facts) == 'mixed' else INSTALL_FORKS


def switch_to_forks(facts: Facts) -> str:
    """Give the command that installs the forks in place of every OpenMMLab distribution that is there."""
    installed = [owner for name in FORKS for owner in owners(facts, name)]
    return f'pip uninstall -y {" ".join(installed)} && {INSTALL_FORKS}'


def find_missing(facts: Facts) -> Iterator[Finding]:
    """Find what must be there and is not."""
    absent = [name for name in REQUIRED if name not in facts.versions]
    absent += [name for name in ('mmengine', 'mmcv', 'mmpretrain') if not owners(facts, name)]
    if absent:
        yield Finding(f'not installed: {", ".join(absent)}', install(facts))
    if not owners(facts, 'mmdet'):
        text = 'mmdet is not installed: pretraining and video work, detection does not'
        yield Finding(text, install(facts), harmless=True)


def find_old(facts: Facts) -> Iterator[Finding]:
    """Find versions below the oldest that work."""
    if facts.python < (3, 10):
        command = INSTALL_UPSTREAM if family(facts) == 'upstream' else INSTALL_FORKS
        yield Finding('Python is older than 3.10', 'python3.11 -m venv venv && . venv/bin/activate && ' + command)
    if 'torch' in facts.versions and numbers(facts.versions['torch']) < (2, 4):
        yield Finding(f'torch {facts.versions["torch"]} is older than 2.4', TESTED_TORCH)


def find_shared_names(facts: Facts) -> Iterator[Finding]:
    """Find distributions that own the same import names: of both OpenMMLab families, or mmcv and mmcv-lite."""
    if family(facts) == 'mixed':
        installed = [owner for name in FORKS for owner in owners(facts, name)]
        yield Finding(
            f'upstream OpenMMLab and its maintained forks are both installed ({", ".join(installed)}): they overwrite '
            "each other's files",
            switch_to_forks(facts),
        )
    elif len(owners(facts, 'mmcv')) > 1:
        yield Finding("mmcv and mmcv-lite are both installed: they overwrite each other's files", MMCV_LITE)


def find_resume_failure(facts: Facts) -> Iterator[Finding]:
    """Find upstream MMEngine on a torch whose ``torch.load`` refuses its checkpoints."""
    if family(facts) != 'upstream':
        return
    torch, mmengine = facts.versions.get('torch'), facts.versions.get('mmengine')
    if torch and mmengine and numbers(torch) >= (2, 6) and numbers(mmengine) <= (0, 10, 7):
        yield Finding(
            f'upstream mmengine {mmengine} cannot resume its own checkpoints on torch {torch} (2.6 and later load '
            "weights only). flsl_mm's tools resume nevertheless, those of mmdet and others do not",
            switch_to_forks(facts),
        )


def find_torchvision_mismatch(facts: Facts) -> Iterator[Finding]:
    """Find a torchvision made for another torch: another version, or CUDA operators beside a CPU-only torch."""
    torch, vision = facts.versions.get('torch'), facts.versions.get('torchvision')
    if not torch or not vision:
        return
    # torchvision 0.(n + 15) belongs to torch 2.n.
    expected = (0, numbers(torch)[1] + 15)
    if numbers(torch)[0] == 2 and numbers(vision)[:2] != expected:
        command = f'pip install "torchvision=={expected[0]}.{expected[1]}.*"'
        yield Finding(f'torchvision {vision} was not made for torch {torch}', command)
    elif ('+cpu' in torch and '+cpu' not in vision) or 'torchvision::nms' in facts.failures.get('torchvision', ''):
        yield Finding(
            f'torchvision {vision} was built for CUDA, torch {torch} for the CPU only: torchvision::nms is missing',
            f'{TESTED_TORCH} (they run on the CPU too), or both from https://download.pytorch.org/whl/cpu',
        )


def find_upstream_pins(facts: Facts) -> Iterator[Finding]:
    """Find packages that upstream OpenMMLab is too old for."""
    if family(facts) != 'upstream':
        return
    mmdet, mmcv = facts.versions.get('mmdet'), facts.versions.get('mmcv') or facts.versions.get('mmcv-lite')
    if mmdet and mmcv and numbers(mmdet) <= (3, 3, 0) and numbers(mmcv) >= (2, 2):
        yield Finding(f'mmdet {mmdet} refuses mmcv {mmcv}', MMCV_LITE)
    mmengine, setuptools = facts.versions.get('mmengine'), facts.versions.get('setuptools')
    if mmengine and numbers(mmengine) <= (0, 10, 7) and (not setuptools or numbers(setuptools) >= (81,)):
        text = f'upstream mmengine {mmengine} needs pkg_resources, which setuptools {setuptools or ""} does not have'
        yield Finding(' '.join(text.split()), 'pip install "setuptools<81"')


def find_ops(facts: Facts) -> Iterator[Finding]:
    """Find missing or broken compiled ops of mmcv, and the forks' missing configs."""
    if family(facts) == 'mixed':
        return
    compile_mmcv = COMPILE_MMCV + 'onedl-mmcv'
    if family(facts) == 'upstream':
        compile_mmcv = f'pip uninstall -y mmcv mmcv-lite && {COMPILE_MMCV}mmcv==2.1.0'
    if owners(facts, 'mmcv') and facts.ops == 'missing':
        yield Finding(
            "mmcv has no compiled ops: flsl_mm's stand-in on torchvision replaces them (nms, roi_align and a few more)",
            compile_mmcv,
            harmless=True,
        )
    elif owners(facts, 'mmcv') and facts.ops != 'compiled':
        yield Finding(f'the compiled ops of mmcv do not fit the installed torch ({facts.ops})', compile_mmcv)
    if owners(facts, 'mmdet') and not facts.mim_configs:
        yield Finding(
            "mmdet was installed without its configs: _base_ = 'mmdet::...' fails. Ours in configs/ bring their bases",
            'git clone https://github.com/open-mmlab/mmdetection  # and name its files in _base_',
            harmless=True,
        )


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    find_missing,
    find_old,
    find_shared_names,
    find_resume_failure,
    find_torchvision_mismatch,
    find_upstream_pins,
    find_ops,
)


def diagnose(facts: Facts) -> list[Finding]:
    """Find what is known to be wrong; failing imports are a finding of their own where nothing else explains them."""
    found = [finding for check in CHECKS for finding in check(facts)]
    if all(finding.harmless for finding in found):
        found += [Finding(f'import {name} fails: {error}', install(facts)) for name, error in facts.failures.items()]
    return found


def gather() -> Facts:
    """Look at this Python's packages."""
    names = {*REQUIRED, 'setuptools', *FORKS.values(), *(owner for group in UPSTREAM.values() for owner in group)}
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    failures = {}
    for module in MODULES:
        error = import_error(module)
        if error and not error.startswith('ModuleNotFoundError: No module named ' + repr(module)):
            failures[module] = error
    mmdet = importlib.util.find_spec('mmdet')
    mim_configs = mmdet is not None and (Path(mmdet.origin).parent / '.mim' / 'configs').is_dir()
    return Facts(sys.version_info[:3], versions, failures, look_for_ops(), mim_configs, find_accelerator())


def import_error(module: str) -> str | None:
    """Import a module; returns its error in a line, or ``None``."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            importlib.import_module(module)
        # Broken packages raise errors of any kind.
        except Exception as error:
            return ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
    return None


def look_for_ops() -> str:
    """Tell the state of mmcv's compiled ops, as in :class:`Facts`."""
    if import_error('mmcv') is None:
        spec = importlib.util.find_spec('mmcv._ext')
        if spec is not None and spec.origin != 'flsl_mm.compat':
            return import_error('mmcv._ext') or 'compiled'
    return 'missing'


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


def report(facts: Facts, findings: list[Finding]) -> str:
    """Write what was found, for people."""
    families = {'forks': 'maintained forks (onedl)', 'upstream': 'upstream', 'mixed': 'both families', 'none': 'none'}
    ops = {'compiled': 'compiled', 'missing': 'stand-in on torchvision'}.get(facts.ops, 'broken')
    rows = [('Python', f'{".".join(map(str, facts.python))} on {platform.platform()}')]
    rows += [(name, facts.versions.get(name, 'not installed')) for name in REQUIRED]
    rows += [('OpenMMLab', families[family(facts)])]
    for name in FORKS:
        installed = [f'{facts.versions[owner]} ({owner})' for owner in owners(facts, name)]
        rows += [(f'  {name}', ', '.join(installed) or 'not installed')]
    rows += [('mmcv ops', ops if owners(facts, 'mmcv') else 'none'), ('accelerator', facts.accelerator)]
    rows += [(name, f'cannot be imported: {error}') for name, error in facts.failures.items()]
    lines = [f'{name:<14}{value}' for name, value in rows]
    for finding in findings:
        kind = 'note' if finding.harmless else 'problem'
        lines += ['', f'{kind}: {finding.text}', f'  to mend it: {finding.command}']
    problems = sum(not finding.harmless for finding in findings)
    lines += ['', f'{problems} problem{"" if problems == 1 else "s"}']
    return '\n'.join(lines)


def main() -> int:
    """Print the report; returns 0, or 1 if there is a problem."""
    facts = gather()
    findings = diagnose(facts)
    print(report(facts, findings))
    return int(any(not finding.harmless for finding in findings))


if __name__ == '__main__':
    sys.exit(main())
