"""Gate for all tensors and files that are read: whole, dense, plain, finite, no larger than their bytes."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from flsl_mm.utils.fileio import printable

from .pickle_check import RefusedError, check_pickle

UNCHECKED = (('message_hub',), ('optimizer', 'gradients'))
"""Entries that may hold NaN: logged losses, and accumulated gradients, whose step is then left out."""

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Types of weights."""

WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
"""Types of what is counted: batches that a normalization has seen, steps of an optimizer."""

OLD_FORMAT_PICKLES = 5
"""Pickles at the start of a file of the old format: magic number, version, machine, content, names of storages."""


class DamagedError(ValueError):
    """Content that is damaged or cannot be used."""


def check_zip(path: str | os.PathLike) -> None:
    """Compare a zip file with the checksums in it, which ``torch.load`` does not, and look at its pickle.

    Files without checksums (``torch.serialization.set_crc32_options(False)``) pass.

    Raises:
        DamagedError: If an entry has another checksum, or is compressed, which ``torch.save`` never does and which
            could unpack to any size.
        RefusedError: If entries lie over one another, or as of :func:`~flsl_mm.checkpoint.pickle_check.check_pickle`.
        zipfile.BadZipFile: If it is no whole zip file.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise DamagedError(f'{packed[0]} in it is compressed, as torch.save never does')
        starts = sorted((entry.header_offset, entry.file_size) for entry in entries)
        ends = [*(start for start, _ in starts[1:]), archive.start_dir]
        names = {entry.filename: entry.file_size for entry in entries}
        overlap = any(start + size > end for (start, size), end in zip(starts, ends, strict=True))
        if overlap or len(names) < len(entries) or archive.comment:
            raise RefusedError('parts of it lie over one another, as torch.save never writes them')
        damaged = archive.testzip() if any(entry.CRC for entry in entries) else None
        if damaged is not None:
            raise DamagedError(f'the checksum of {damaged} in it does not match')
        root = entries[0].filename.partition('/')[0]
        data = f'{root}/data/'
        sizes = {name.removeprefix(data): size for name, size in names.items() if name.startswith(data)}
        entry = archive.getinfo(f'{root}/data.pkl')
    # Not through `archive`, which would miss a checksum that some files leave out.
    with open(path, 'rb') as file:
        file.seek(entry.header_offset + 26)
        lengths = struct.unpack('<HH', file.read(4))
        file.seek(sum(lengths), os.SEEK_CUR)
        check_pickle(io.BytesIO(file.read(entry.file_size)), sizes)


def check_old_format(path: str | os.PathLike) -> None:
    """Look at the pickles of a file that torch wrote before it wrote zip files.

    Raises:
        RefusedError: If it asks for more numbers than it has bytes, or as of
            :func:`~flsl_mm.checkpoint.pickle_check.check_pickle`.
    """
    with open(path, 'rb') as file:
        storages = [check_pickle(file) for _ in range(OLD_FORMAT_PICKLES)]
        wanted, size = sum(sum(sizes.values()) for sizes in storages), os.fstat(file.fileno()).st_size
    if wanted > size:
        raise RefusedError(f'its tensors claim {wanted} bytes, and it is a truncated file of {size}')


def check_finite(content: Mapping) -> None:
    """Refuse a checkpoint with NaN or infinity, for float32, in its weights or its optimizer's state.

    Raises:
        DamagedError: With the name of the first such tensor and their number; or if one is of a type that weights do
            not have.
    """
    damaged = []
    for name, tensor in ((printable(name), tensor) for name, tensor in named_tensors(content)):
        if tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in FLOATS + WHOLE:
            kind = 'on the meta device' if tensor.is_meta else f'{tensor.dtype}, {tensor.layout}'
            raise DamagedError(f'{name} is {kind}, and weights are dense numbers of float16, bfloat16, float32 or 64')
        if not is_finite(tensor):
            damaged.append(name)
    if damaged:
        others = f' and {len(damaged) - 1} more tensors have' if len(damaged) > 1 else ' has'
        raise DamagedError(f'{damaged[0]}{others} values that are not finite (NaN or infinity)')


def named_tensors(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested dicts, lists and tuples, with dotted names; each container is visited once."""
    waiting, seen = [((), content)], set()
    while waiting:
        path, value = waiting.pop()
        if path in UNCHECKED or id(value) in seen:
            continue
        if isinstance(value, Tensor):
            yield '.'.join(path), value
        elif isinstance(value, Mapping):
            seen.add(id(value))
            waiting += [((*path, str(key)), item) for key, item in reversed(value.items())]
        elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            seen.add(id(value))
            waiting += [((*path, str(index)), item) for index, item in reversed(list(enumerate(value)))]


def is_finite(tensor: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Return whether a dense tensor has no NaN and no infinity, and gets none as ``dtype``; whole numbers have none."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # A dimension of stride 0 repeats one value.
    tensor = tensor.detach()[tuple(slice(None) if stride else slice(1) for stride in tensor.stride())]
    if torch.finfo(tensor.dtype).max > torch.finfo(dtype).max:
        tensor = tensor.to(dtype)
    # The sum is finite in all but a few cases, and twenty times as quick as a look at each value.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def misfit(given: Tensor, wanted: Tensor) -> str:
    """Say why a tensor of a file cannot become one of a model, for messages; empty if it can.

    Args:
        given: Tensor of a file.
        wanted: Tensor of the model, whose values do not matter.
    """
    if given.shape != wanted.shape:
        return f'{tuple(given.shape)} instead of {tuple(wanted.shape)}'
    if given.is_floating_point() != wanted.is_floating_point() or given.dtype not in FLOATS + WHOLE:
        return f'of type {given.dtype} instead of {wanted.dtype}'
    if wanted.is_floating_point() and not is_finite(given, wanted.dtype):
        return f'not finite as {wanted.dtype}'
    return ''
