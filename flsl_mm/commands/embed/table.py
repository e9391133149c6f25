"""Read and write files of embeddings: NumPy's .npz, or Parquet where pyarrow is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from flsl_mm.utils.fileio import atomic_writer

SUFFIXES = ('.npz', '.parquet')


@dataclass(frozen=True)
class Embeddings:
    """Features of the images of a folder.

    Attributes:
        mean: Mean token of each image (N, C), float32, not normalized.
        paths: Its path relative to ``folder``, with ``/``.
        grid_hw: Its grid (N, 2), in patches.
        patch_start: Row of its first patch in the file of patch tokens (N,); they follow in raster order.
        folder: The folder, absolute.
        settings: What made them: ``model`` (a digest), ``size``, ``patches``, ``images`` (a digest).
        skipped: Why an image could not be used, by path.
    """

    mean: np.ndarray
    paths: Sequence[str]
    grid_hw: np.ndarray
    patch_start: np.ndarray
    folder: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write them atomically, in the format that the ending says, one of :data:`SUFFIXES`."""
        with atomic_writer(path) as file:
            (self._write_parquet if path.suffix == '.parquet' else self._write_npz)(file)

    def check(self) -> None:
        """Raise ValueError if the parts do not fit each other, or features are not finite."""
        count = len(self.paths)
        shapes = (self.mean.shape[:1], self.grid_hw.shape, self.patch_start.shape)
        if self.mean.ndim != 2 or shapes != ((count,), (count, 2), (count,)) or not np.isfinite(self.mean).all():
            raise ValueError('features, paths and grids do not fit each other')
        patches = self.grid_hw.prod(axis=1)
        if (self.grid_hw < 1).any() or (self.patch_start != np.cumsum(patches) - patches).any():
            raise ValueError('grids and rows of patches do not fit each other')

    def _metadata(self) -> dict[str, str]:
        return dict(folder=self.folder, settings=json.dumps(self.settings), skipped=json.dumps(self.skipped))

    def _write_npz(self, file) -> None:
        columns = dict(paths=np.array(self.paths, dtype=str), grid_hw=self.grid_hw, patch_start=self.patch_start)
        described = {name: np.array(text) for name, text in self._metadata().items()}
        np.savez(file, mean=self.mean, **columns, **described)

    def _write_parquet(self, file) -> None:
        import pyarrow
        from pyarrow import parquet

        values = pyarrow.array(np.ascontiguousarray(self.mean).ravel())
        columns = dict(
            # Names of files are bytes; those that are not text in UTF-8 are written as escapes.
            path=pyarrow.array([_as_text(path) for path in self.paths]),
            mean=pyarrow.FixedSizeListArray.from_arrays(values, self.mean.shape[1]),
            grid_h=self.grid_hw[:, 0],
            grid_w=self.grid_hw[:, 1],
            patch_start=self.patch_start,
        )
        described = {name: _as_text(text) for name, text in self._metadata().items()}
        parquet.write_table(pyarrow.table(columns).replace_schema_metadata(described), file)


def _as_text(text: str) -> str:
    return text.encode('utf-8', 'backslashreplace').decode()


def check_format(path: Path) -> None:
    """Raise before anything is computed if a file of embeddings cannot have this ending.

    Raises:
        ValueError: If the ending is not one of :data:`SUFFIXES`.
        ImportError: If it is Parquet and pyarrow is missing.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f'{path} must end in {" or ".join(SUFFIXES)}')
    if path.suffix == '.parquet' and not find_spec('pyarrow'):
        raise ImportError("Parquet files need pyarrow: pip install 'flsl_mm[parquet]', or name the file .npz")


def patch_file(path: Path) -> Path:
    """Name the file of the patch tokens that belong to embeddings at ``path``."""
    return path.with_name(f'{path.stem}_patches.npy')


def check_patches(path: Path, embeddings: Embeddings) -> None:
    """Raise ValueError or FileNotFoundError if the patch tokens beside embeddings at ``path`` are not theirs."""
    file = patch_file(path)
    if not file.exists():
        raise FileNotFoundError(f'{file} is missing, although {path} belongs to it: give --force to make both')
    expected = (int(embeddings.grid_hw.prod(axis=1).sum()), embeddings.mean.shape[1]), np.float16
    try:
        tokens = np.load(file, mmap_mode='r') if file.is_file() else None
        fits = tokens is not None and (tokens.shape, tokens.dtype) == expected
    except (EOFError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f'{file} does not hold the patch tokens of {path}: give --force to make both')


def read_embeddings(path: Path) -> Embeddings:
    """Read what :meth:`Embeddings.write` wrote.

    Raises:
        ValueError: If the file holds something else.
        OSError: If it cannot be read.
    """
    check_format(path)
    try:
        found = _read_parquet(path) if path.suffix == '.parquet' else _read_npz(path)
        found.check()
        return found
    except OSError:
        raise
    except Exception:  # damaged files make the readers raise errors of many kinds
        raise ValueError(f'{path} is not a file of embeddings, or a damaged one') from None


def _read_npz(path: Path) -> Embeddings:
    with np.load(path, allow_pickle=False) as data:
        described = {name: json.loads(str(data[name])) for name in ('settings', 'skipped')}
        columns = {name: data[name] for name in ('mean', 'grid_hw', 'patch_start')}
        return Embeddings(paths=data['paths'].tolist(), folder=str(data['folder']), **columns, **described)


def _read_parquet(path: Path) -> Embeddings:
    from pyarrow import parquet

    table = parquet.read_table(path)
    described = {name.decode(): text.decode() for name, text in table.schema.metadata.items()}
    mean = table['mean'].combine_chunks()
    return Embeddings(
        mean=mean.flatten().to_numpy().reshape(len(mean), -1),
        paths=table['path'].to_pylist(),
        grid_hw=np.stack([table[name].to_numpy() for name in ('grid_h', 'grid_w')], axis=1),
        patch_start=table['patch_start'].to_numpy(),
        folder=described['folder'],
        settings=json.loads(described['settings']),
        skipped=json.loads(described['skipped']),
    )
