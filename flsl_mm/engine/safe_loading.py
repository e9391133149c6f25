"""Have MMEngine load checkpoints without running code in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mm_checkpoint

from flsl_mm.checkpoint import read_checkpoint

FORCE_SAFE, FORCE_UNSAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def load_from_safe_local(filename: str, map_location: Any = None) -> dict:
    """Read a file for MMEngine, without the config text that older files keep and that resuming would run as code."""
    checkpoint = read_checkpoint(filename, 'cpu' if map_location is None else map_location)
    meta = checkpoint.get('meta')
    if isinstance(meta, dict) and meta.pop('config', None) is not None:
        print_log(f'left out the config inside {filename}: MMEngine would run it as Python', logger='current')
    return checkpoint


def load_url_safely(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True, **options
) -> dict:
    """Read what MMEngine downloads, kept as torch.hub keeps it, as a file of unknown origin."""
    folder = Path(model_dir or Path(torch.hub.get_dir()) / 'checkpoints')
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / Path(urlparse(url).path).name
    if not path.exists():
        try:
            torch.hub.download_url_to_file(url, str(path), progress=progress)
        except OSError as error:
            raise OSError(f'{url} cannot be fetched ({error}): fetch it by other means and give the path') from None
    return read_checkpoint(path, 'cpu' if map_location is None else map_location)


@contextmanager
def safe_mmengine_loading() -> Iterator[None]:
    """Have MMEngine read checkpoints through :func:`read_checkpoint` inside this context: resume, load and publish.

    Local files go through a loader registered with MMEngine, and what it downloads for other models (``http://``,
    ``torchvision://``, ``open-mmlab://``, ``mmcls://``) through :func:`load_url_safely`. What else it can reach, cloud
    storage, goes through ``torch.load`` with ``weights_only=True``, which torch's own environment variable forces on
    every caller, the maintained fork's fallback to unrestricted loading included. With upstream MMEngine and torch >=
    2.6 this is also what makes resuming work at all. Also a decorator.
    """
    before = {name: os.environ.pop(name, None) for name in (FORCE_SAFE, FORCE_UNSAFE)}
    os.environ[FORCE_SAFE] = '1'
    previous = CheckpointLoader._schemes['']
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_safe_local, force=True)
    load_url, mm_checkpoint.load_url = mm_checkpoint.load_url, load_url_safely
    try:
        yield
    finally:
        CheckpointLoader.register_scheme(prefixes='', loader=previous, force=True)
        mm_checkpoint.load_url = load_url
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
