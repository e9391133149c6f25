"""Rules of the doctor: which packages do not work together, and the command that repairs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from .facts import FORKS, REQUIRED, UNKNOWN, Facts, Finding, family, numbers, owners

CHECKOUT = (Path(__file__).parents[3] / 'setup.cfg').is_file()
"""Whether the package runs from a checkout; otherwise the commands name the wheel's file as WHEEL."""
INSTALL_FORKS = "pip install -e '.[mm]' -c requirements/tested.txt" if CHECKOUT else "pip install 'WHEEL[mm]'"
INSTALL_UPSTREAM = (
    "pip install -e '.[upstream]' -c requirements/tested.txt" if CHECKOUT else "pip install 'WHEEL[upstream]'"
)
INSTALL_BESIDE_MMCV = (
    "pip install -e . mmengine mmdet mmpretrain 'setuptools<81' -c requirements/tested.txt"
    if CHECKOUT
    else "pip install mmengine mmdet mmpretrain 'setuptools<81'"
)
"""Upstream without mmcv-lite, which would overwrite an installed mmcv."""
MMCV_LITE = 'pip uninstall -y mmcv mmcv-lite && pip install "mmcv-lite<2.2"'
TESTED_TORCH = 'pip install --force-reinstall torch==2.14.1 torchvision==0.29.1'
COMPILE_MMCV = 'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-deps --force-reinstall --no-binary :all: '
"""Followed by the distribution."""


def install(facts: Facts) -> str:
    """Return the command that installs everything of the family that is there, or else of the forks."""
    if family(facts) == 'upstream':
        return INSTALL_BESIDE_MMCV if 'mmcv' in facts.versions else INSTALL_UPSTREAM
    return switch_to_forks(facts) if family(facts) == 'mixed' else INSTALL_FORKS


def switch_to_forks(facts: Facts) -> str:
    """Return the command that installs the forks in place of every OpenMMLab distribution that is there."""
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


def reinstall(facts: Facts, name: str) -> str:
    """Return the command that reinstalls the owner of an import name; pip alone accepts a broken one."""
    found = owners(facts, name)
    if not found:
        return install(facts)
    version = facts.versions[found[0]]
    pinned = found[0] if version == UNKNOWN else f'{found[0]}=={version.partition("+")[0]}'
    return f'pip install --force-reinstall --no-deps {pinned}'


def find_damaged(facts: Facts) -> Iterator[Finding]:
    """Find packages whose metadata cannot be read."""
    for name, version in facts.versions.items():
        if version == UNKNOWN:
            command = f'pip install --force-reinstall --no-deps {name}'
            yield Finding(f'{name} has no version: its installation is damaged', command)


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


PRESENCE: tuple[Callable[[Facts], Iterator[Finding]], ...] = (find_missing, find_damaged)
VERSIONS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    find_old,
    find_shared_names,
    find_resume_failure,
    find_torchvision_mismatch,
    find_upstream_pins,
    find_ops,
)


def diagnose(facts: Facts) -> list[Finding]:
    """Find what is known to be wrong; failing imports are findings of their own where nothing else explains them."""
    known = {name: version for name, version in facts.versions.items() if version != UNKNOWN}
    found = [finding for check in PRESENCE for finding in check(facts)]
    found += [finding for check in VERSIONS for finding in check(replace(facts, versions=known))]
    if all(finding.harmless for finding in found):
        found += [
            Finding(f'import {name} fails: {error}', reinstall(facts, name)) for name, error in facts.failures.items()
        ]
    return found
