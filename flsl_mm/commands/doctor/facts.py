"""Data of the doctor: versions, import errors, and the OpenMMLab family that they make."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

UNKNOWN = 'unknown'
"""Version of a distribution whose metadata cannot be read."""
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
DISTRIBUTIONS = {'PIL': 'pillow', 'pycocotools.mask': 'pycocotools'}
"""Distributions that are not called like what is imported."""
REQUIRED = ('torch', 'torchvision', 'timm', 'kornia', 'numpy', 'pillow', 'pycocotools')


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
        own: This package's version.
    """

    python: tuple[int, ...] = (3, 11)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    ops: str = 'compiled'
    mim_configs: bool = True
    accelerator: str = 'none'
    own: str = UNKNOWN


@dataclass(frozen=True)
class Finding:
    """A finding: what it is, and the command that repairs it.

    Args:
        text: One or two sentences.
        command: The command.
        harmless: Whether flsl_mm works all the same.
    """

    text: str
    command: str
    harmless: bool = False


def numbers(version: str) -> tuple[float, ...]:
    """Return the leading numbers of a version, ``'2.14.1+cpu'`` -> (2, 14, 1); of one without, infinity: no bound."""
    found = re.match(r'\d+(\.\d+)*', version)
    return tuple(map(int, found[0].split('.'))) if found else (math.inf, math.inf)


def owners(facts: Facts, name: str) -> list[str]:
    """List the installed distributions that own an import name; more than one of OpenMMLab overwrite each other."""
    own = (FORKS[name], *UPSTREAM[name]) if name in FORKS else (DISTRIBUTIONS.get(name, name),)
    return [owner for owner in own if owner in facts.versions]


def family(facts: Facts) -> str:
    """Return which OpenMMLab is installed: ``'forks'``, ``'upstream'``, ``'mixed'`` or ``'none'``."""
    forks = any(fork in facts.versions for fork in FORKS.values())
    upstream = any(owner in facts.versions for group in UPSTREAM.values() for owner in group)
    return {(True, True): 'mixed', (True, False): 'forks', (False, True): 'upstream'}.get((forks, upstream), 'none')
