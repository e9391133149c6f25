"""Write procedural scenes when a data set finds none."""

from __future__ import annotations

from pathlib import Path

from flsl_mm.utils.mm import barrier, is_main_process, print_log

from .output import TreeRequest
from .writers import write_scenes


def ensure_scenes(data_root: str | Path, layout: str, request: TreeRequest) -> None:
    """Write scenes where nothing is yet; a folder that is there is used as it is.

    Among several processes the first writes, and all wait for it; they share the file system.

    Args:
        data_root: Folder of the data.
        layout: As of :func:`~flsl_mm.scenes.writers.write_scenes`.
        request: What to write.
    """
    if is_main_process() and not Path(data_root).exists():
        lines = write_scenes(Path(data_root), layout, request)
        print_log(f'wrote procedural scenes to {data_root}: {"; ".join(lines)}', logger='current')
    barrier()
