"""Append-only files of an unfinished embedding; a kill costs the rows after the last commit."""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from flsl_mm.utils.fileio import open_in_place, remove_partial, write_text

HEADER_BYTES = 128
"""Room for the header of the .npy file of patch tokens, whose number of rows is known in the end."""

SETTINGS, STATE = 'settings.json', 'state.json'
FILES = ('rows.i64', 'mean.f32', 'patches.npy')

ROW_BYTES = 24
"""Number of an image and its grid, three whole numbers."""


class Journal:
    """Rows of an unfinished embedding, in a folder beside the file that they become.

    Images are done in their order, so that one number says how far it came. What a killed program appended after its
    last commit is cut off at the next start.

    Args:
        folder: The folder; what an earlier start committed in it is taken up.
        settings: What the rows are made from and how; plain types.
        patch_file: Where the patch tokens will lie, None without them.
        interval: Seconds between two commits.

    Attributes:
        done: Number of images that are done, unusable ones included.
        skipped: Why an image could not be used, by path.

    Raises:
        ValueError: If the folder was begun with other settings.
        OSError: If it cannot be written.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], patch_file: Path | None = None, interval: float = 10.0
    ) -> None:
        self.folder = folder
        self.patch_file = patch_file
        self.interval = interval
        folder.mkdir(exist_ok=True)
        state = self._earlier_state(dict(settings))
        self.done: int = state['done']
        self.skipped: dict[str, str] = state['skipped']
        # A kill between the two steps of `finish_patches` leaves them under their last name.
        if patch_file and self.done and patch_file.exists() and not (folder / 'patches.npy').exists():
            os.replace(patch_file, folder / 'patches.npy')
        names = ['rows.i64', 'mean.f32', *(['patches.npy'] if patch_file else [])]
        self.files = {name: _open_cut(folder / name, state['bytes'].get(name, 0)) for name in names}
        if patch_file and self.files['patches.npy'].tell() < HEADER_BYTES:
            self.files['patches.npy'].write(bytes(HEADER_BYTES))
        self.patches: int = state['patches']
        self.committed = time.monotonic()

    def _earlier_state(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Read what was committed, if anything, and make sure that it belongs to these settings."""
        settings = json.loads(json.dumps(settings))
        if (self.folder / STATE).exists():
            earlier, state = (self._read(name) for name in (SETTINGS, STATE))
            if differing := [name for name, value in settings.items() if earlier.get(name) != value]:
                raise ValueError(
                    f'{self.folder} was started with another {" and another ".join(differing)}: repeat that command to '
                    'finish it, or give --force to start over'
                )
            kinds = dict(done=int, patches=int, skipped=dict, bytes=dict)
            if not all(type(state.get(name)) is kind for name, kind in kinds.items()) or not self._adds_up(state):
                raise ValueError(f'{self.folder / STATE} is damaged: give --force to start over')
            return state
        if (self.folder / SETTINGS).exists():  # from a start that was killed before its first commit
            self._read(SETTINGS)
        elif there := [name for name in FILES if (self.folder / name).exists()]:
            raise ValueError(f'{self.folder} has {there[0]}, which embed did not write: rename the folder')
        write_text(self.folder / SETTINGS, json.dumps(settings) + '\n')
        return dict(done=0, patches=0, skipped={}, bytes={})

    def _read(self, name: str) -> dict[str, Any]:
        """Read a file of the folder; raises ValueError if it is damaged."""
        try:
            content = json.loads((self.folder / name).read_text(encoding='utf-8'))
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise ValueError(f'{self.folder / name} is damaged: give --force to start over')
        return content

    def _adds_up(self, state: Mapping[str, Any]) -> bool:
        """Return whether the rows that a state speaks of are there, one for each image that was not skipped."""
        sizes = [state['bytes'].get(name, 0) for name in FILES]
        if not all(type(size) is int and size >= 0 for size in (*sizes, state['done'], state['patches'])):
            return False
        count = sizes[0] // ROW_BYTES
        path = self.folder / 'rows.i64'
        with open_in_place(path) if count else nullcontext(io.BytesIO()) as file:
            file.seek(0)
            rows = np.frombuffer(file.read(count * ROW_BYTES), np.int64)
        if sizes[0] % ROW_BYTES or len(rows) != 3 * count:
            return False
        index, grids = rows[::3], rows.reshape(-1, 3)[:, 1:]
        ascending = (np.diff(index, prepend=-1) > 0).all() and (index < state['done']).all()
        complete = count <= state['done'] <= count + len(state['skipped'])
        return bool(ascending and complete and (grids > 0).all() and grids.prod(1).sum() == state['patches'])

    def _check_size(self, name: str, size: int) -> None:
        """Raise ValueError if a file has not as many bytes as its rows need."""
        if (self.folder / name).stat().st_size != size:
            raise ValueError(f'{self.folder / name} is damaged: give --force to start over')

    def append(self, index: int, features: np.ndarray) -> None:
        """Append the row of an image.

        Args:
            index: Number of the image; all before it are done.
            features: Features of its patches (h, w, C), float32.
        """
        rows, cols, embed_dim = features.shape
        self.files['rows.i64'].write(np.array([index, rows, cols], np.int64).tobytes())
        self.files['mean.f32'].write(features.reshape(-1, embed_dim).mean(0, dtype=np.float64).astype('<f4').tobytes())
        if 'patches.npy' in self.files:
            self.files['patches.npy'].write(features.astype('<f2').tobytes())
        self.patches += rows * cols
        self.done = index + 1
        if time.monotonic() - self.committed >= self.interval:
            self.commit()

    def commit(self) -> None:
        """Make what was appended last."""
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
        sizes = {name: file.tell() for name, file in self.files.items()}
        state = dict(done=self.done, patches=self.patches, skipped=self.skipped, bytes=sizes)
        write_text(self.folder / STATE, json.dumps(state) + '\n')
        self.committed = time.monotonic()

    def close(self) -> None:
        """Close the files, committed or not."""
        for file in self.files.values():
            file.close()

    def table(self, embed_dim: int) -> tuple[np.ndarray, np.ndarray]:
        """Return number and grid of each image (N, 3), and the mean tokens (N, C), memory-mapped."""
        rows = np.fromfile(self.folder / 'rows.i64', np.int64).reshape(-1, 3)
        if not len(rows):
            return rows, np.zeros((0, embed_dim), np.float32)
        self._check_size('mean.f32', 4 * embed_dim * len(rows))
        return rows, np.memmap(self.folder / 'mean.f32', '<f4', 'r', shape=(len(rows), embed_dim))

    def finish_patches(self, embed_dim: int) -> None:
        """Give the patch tokens their header and their name."""
        self._check_size('patches.npy', HEADER_BYTES + 2 * embed_dim * self.patches)
        header = dict(descr='<f2', fortran_order=False, shape=(self.patches, embed_dim))
        with open_in_place(self.folder / 'patches.npy', mode='r+b') as file:
            np.lib.format.write_array_header_1_0(file, header)
            if file.tell() != HEADER_BYTES:
                raise RuntimeError(f'the header of {self.patch_file} takes {file.tell()} bytes, not {HEADER_BYTES}')
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.folder / 'patches.npy', self.patch_file)


def has_commits(folder: Path) -> bool:
    """Return whether a folder has a journal that an earlier start has committed to."""
    return (folder / STATE).exists()


def discard(folder: Path) -> None:
    """Remove a journal, if there is one: what it held lies elsewhere, or is not wanted."""
    if not folder.is_dir():
        return
    for name in (STATE, SETTINGS, *FILES):  # a folder without state is started over
        (folder / name).unlink(missing_ok=True)
    remove_partial(folder, re.compile('|'.join(map(re.escape, (SETTINGS, STATE)))))
    with suppress(OSError):  # it holds the lock of whoever is at work
        folder.rmdir()


def _open_cut(path: Path, size: int):
    """Open a file for appending after its first ``size`` bytes.

    Raises:
        ValueError: If it has fewer.
    """
    file = open_in_place(path)
    if file.tell() < size:
        file.close()
        raise ValueError(f'{path} is truncated: give --force to start over')
    file.truncate(size)
    file.seek(0, os.SEEK_END)
    return file
