"""Damage that reading a checkpoint does not notice: flipped bits, and numbers that are not finite."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

UNCHECKED = (('message_hub',), ('optimizer', 'gradients'))
"""Entries that may hold NaN: logged losses, and accumulated gradients, whose step is then left out."""


class DamagedError(ValueError):
    """Content that is damaged or cannot be used."""


def check_zip(path: str | os.PathLike) -> None:
    """Compare the bytes of a zip file, which ``torch.load`` does not, with the checksums in it.

    Files without checksums (``torch.serialization.set_crc32_options(False)``) pass.

    Raises:
        DamagedError: If an entry has another checksum, or is compressed, which ``torch.save`` never does and which
            could unpack to any size.
        zipfile.BadZipFile: If it is no whole zip file.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise DamagedError(f'{packed[0]} in it is compressed, as torch.save never does')
        damaged = archive.testzip() if any(entry.CRC for entry in entries) else None
    if damaged is not None:
        raise DamagedError(f'the checksum of {damaged} in it does not match')


def check_finite(content: Mapping) -> None:
    """Refuse a checkpoint with NaN or infinity in its weights or its optimizer's state.

    Raises:
        DamagedError: With the name of the first such tensor and their number; or if a tensor claims more values than
            the file holds.
    """
    damaged = [name for name, tensor in named_tensors(content) if not is_finite(tensor)]
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


def is_finite(tensor: Tensor) -> bool:
    """Return whether a tensor has no NaN and no infinity; numbers that are not plain floats count as finite.

    Raises:
        DamagedError: If its values overlap so that it claims more than its memory holds.
    """
    plain = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized
    if not plain or not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
        return True
    # A dimension of stride 0 repeats one value as often as the file likes.
    tensor = tensor.detach()[tuple(slice(None) if stride else slice(1) for stride in tensor.stride())]
    if tensor.numel() > tensor.untyped_storage().nbytes() // tensor.element_size():
        raise DamagedError(f'a tensor claims {tensor.numel()} values, more than there are')
    if tensor.element_size() == 1:
        tensor = tensor.float()
    # The sum is finite in all but a few cases, and twenty times as quick as a look at each value.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
