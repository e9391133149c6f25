"""Have MMEngine load checkpoints without running code in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader

from flsl_mm.checkpoint import read_checkpoint

FORCE_SAFE, FORCE_UNSAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def load_from_safe_local(filename: str, map_location: Any = None) -> dict:
    """Read a file for MMEngine, without the config text that older files keep and that resuming would run as code."""
    checkpoint = read_checkpoint(filename, 'cpu' if map_location is None else map_location)
    meta = checkpoint.get('meta')
    if isinstance(meta, dict) and meta.pop('config', None) is not None:
        print_log(f'left out the config inside {filename}: MMEngine would run it as Python', logger='current')
    return checkpoint


@contextmanager
def safe_mmengine_loading() -> Iterator[None]:
    """Have MMEngine read checkpoints through :func:`read_checkpoint` inside this context: resume, load and publish.

    Local files go through a loader registered with MMEngine. What it downloads for other models goes through
    ``torch.load`` with ``weights_only=True``, which torch's own environment variable forces on every caller, the
    maintained fork's fallback to unrestricted loading included. With upstream MMEngine and torch >= 2.6 this is also
    what makes resuming work at all. Also a decorator.
    """
    before = {name: os.environ.pop(name, None) for name in (FORCE_SAFE, FORCE_UNSAFE)}
    os.environ[FORCE_SAFE] = '1'
    previous = CheckpointLoader._schemes['']
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_safe_local, force=True)
    try:
        yield
    finally:
        CheckpointLoader.register_scheme(prefixes='', loader=previous, force=True)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
