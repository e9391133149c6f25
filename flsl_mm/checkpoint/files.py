"""Reading checkpoints without running code that they carry, and writing them atomically."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import tarfile
import textwrap
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from flsl_mm.utils.fileio import atomic_writer

from .integrity import DamagedError, check_finite, check_old_format, check_zip
from .pickle_check import RefusedError
from .safe_unpickling import STAND_INS, restore
from .shipped import shipped_model

ZIP_FORMAT = b'PK\x03\x04'
"""Start of what ``torch.save`` writes."""

OLD_FORMAT = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)[2:]
"""Start, after the protocol, of what ``torch.save`` wrote before it wrote zip files."""

MSGPACK = re.compile(rb'[\x81-\x8f\xde\xdf].{0,4}[\xa1-\xbf\xd9][ -~]', re.DOTALL)
"""Start of a msgpack dict whose first key is text."""

MAX_TENSORS = 20_000
"""Tensors that a safetensors file may name; each takes time and memory, however small it is."""

SAFETENSORS_META = 'flsl_mm'
"""Entry of a safetensors header with what ``meta`` of a backbone file says, as JSON."""


class CheckpointError(ValueError):
    """A file that is not a checkpoint, would run code, or does not fit the model; the message is one line."""


def read_checkpoint(path: str | os.PathLike, map_location: Any = 'cpu') -> dict:
    """Read a checkpoint written by ``torch.save`` or safetensors; nothing in it can run code.

    ``torch.load(weights_only=True)`` reads it, with no names allowed beyond :mod:`flsl_mm.checkpoint.safe_unpickling`
    whatever else the process has allowed.

    Args:
        path: A local file. Nothing is ever downloaded.
        map_location: Device for the tensors, as in ``torch.load``.

    Returns:
        The dict in the file. Its tensors are plain, and each fills its memory; of the metadata that torch keeps beside
        the tensors of a model, only versions and this package's description of a backbone are left.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is an address, a web page, a Git LFS pointer, a pipe or device, damaged, asks for a
            function or class that is not on the list or for more memory than its bytes justify, or has anything but
            finite real numbers in a weight or the optimizer's state.
    """
    path = local_file(path)
    head = _check_start(path)
    try:
        if _is_safetensors(head):
            content = _read_safetensors(path, map_location)
        else:
            if head.startswith(ZIP_FORMAT):
                _check_members(path)
                check_zip(path)
            else:
                check_old_format(path)
            content = _read_torch(path, map_location)
        content = restore(content)
        if not isinstance(content, dict):
            raise CheckpointError(f'{path} holds a {type(content).__name__}, not a dict of tensors')
        check_finite(content)
    except CheckpointError:
        raise
    except DamagedError as error:
        raise CheckpointError(f'{path} is damaged: {error}') from None
    except RefusedError as error:
        raise CheckpointError(f'{path} is refused: {error}') from None
    # The bytes are untrusted and drive an interpreter: any exception can come out of it.
    except Exception as error:
        raise CheckpointError(_explain(path, error)) from None
    return content


def local_file(path: str | os.PathLike) -> Path:
    """Return the path of a file that can be read; where there is none, a model's that comes with the package.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a folder.
        CheckpointError: If it is an address, or a pipe or device.
    """
    if re.match(r'[A-Za-z][\w+.-]*://', str(path)):
        raise CheckpointError(f'{path} is an address and nothing is downloaded: fetch the file, then give its path')
    path = Path(path).expanduser()
    if not path.exists() and (shipped := shipped_model(path)):
        return shipped
    if not path.exists():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    if path.is_dir():
        files = [*path.glob('*_backbone.pth')] or [*path.glob('*.pth')]
        newest = max(files, key=lambda file: file.lstat().st_mtime, default=None)
        advice = f'a file in it, such as {newest}' if newest else 'a file; there is no .pth in it'
        raise IsADirectoryError(f'checkpoint {path} is a folder: give {advice}')
    if not path.is_file():
        raise CheckpointError(f'{path} is a pipe or a device, which could keep a program waiting: give a file')
    return path


def _check_start(path: Path) -> bytes:
    """Recognize what is saved under a checkpoint's name by mistake; return the first bytes."""
    with path.open('rb') as file:
        head = file.read(tarfile.BLOCKSIZE)
    if not head:
        raise CheckpointError(f'{path} is empty')
    if head.lstrip(b'\xef\xbb\xbf \t\r\n').startswith(b'<'):
        raise CheckpointError(f'{path} is a web page (HTML), not a checkpoint: the download met a login or error page')
    if head.startswith(b'version https://git-lfs'):
        raise CheckpointError(f'{path} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder')
    if not head.startswith(ZIP_FORMAT) and _is_tar(head):
        raise CheckpointError(f'{path} is in the tar format of torch 0.1, which is not read: save it again')
    if head.startswith(b'\x93NUMPY'):
        raise CheckpointError(f'{path} is a NumPy array, not a checkpoint: JAX programs may save weights so')
    if MSGPACK.match(head):
        raise CheckpointError(f'{path} is a msgpack file, as JAX programs save weights (flax), which is not read')
    if head.startswith(b'\x80') and not head.startswith(OLD_FORMAT, 2):
        raise CheckpointError(f'{path} is refused: a plain Python pickle can run any code; use torch.save for weights')
    if not head.startswith((ZIP_FORMAT, b'\x80')) and not _is_safetensors(head):
        what = 'zeros, as a copy or download that broke off may leave' if not head.strip(b'\0') else repr(head[:8])[1:]
        raise CheckpointError(
            f'{path} is not a readable checkpoint: it starts with {what}, unlike files of torch.save and safetensors '
            '(and a plain Python pickle, which can run any code, is refused)'
        )
    return head


def _check_members(path: Path) -> None:
    """Recognize zip files that torch.save did not write."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if names and all(name.endswith('.npy') for name in names):
        raise CheckpointError(f'{path} is a NumPy archive (.npz), as JAX programs save weights, which is not read')
    if any(name.endswith('/constants.pkl') for name in names):
        raise CheckpointError(
            f"{path} is a TorchScript program, which is not read: save the model's state_dict instead"
        )
    if not any(name.endswith('/data.pkl') for name in names):
        raise CheckpointError(f'{path} is a zip file without data.pkl, unlike those of torch.save')


def _is_safetensors(head: bytes) -> bool:
    """Return whether a file starts with the length of a JSON header in eight bytes, and the header."""
    return head[4:9] == b'\0\0\0\0{'


def _is_tar(head: bytes) -> bool:
    """Infer from the first 512 bytes whether torch would take a file for the archive that torch 0.1 wrote.

    Below torch 2.6 this oldest of formats runs code even with weights_only=True (CVE-2025-32434). It starts with a name
    of the file's choice, so only what torch takes for a zip file is not asked.
    """
    try:
        tarfile.TarInfo.frombuf(head, tarfile.ENCODING, 'surrogateescape')
    except tarfile.HeaderError:
        return False
    return True


def _read_safetensors(path: Path, map_location: Any) -> dict:
    """Read the tensors, and beside them what :func:`write_safetensors` noted in the header."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, 'pt') as file:
        spec_text = (file.metadata() or {}).get(SAFETENSORS_META)
        if (count := len(file.keys())) > MAX_TENSORS:
            raise RefusedError(f'it names {count:,} tensors, and no model has {MAX_TENSORS:,}')
    tensors = load_file(path, device=str(map_location))
    return tensors if spec_text is None else dict(state_dict=tensors, meta=json.loads(spec_text))


def _read_torch(path: Path, map_location: Any) -> Any:
    allowed_before = list(torch.serialization.get_safe_globals())
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(list(STAND_INS))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return torch.load(path, map_location=map_location, weights_only=True)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed_before)


def _explain(path: Path, error: Exception) -> str:
    name = re.search(r'GLOBAL (\S+)', str(error))
    if name:
        return (
            f'{path} is refused: reading it would call or build {name.group(1)}, and a file that may name functions '
            'can run any code; if you trust its source, save its tensors alone as a new file'
        )
    # torch wraps the cause in advice on how to load the file after all, which is not what a user should try.
    cause = str(error).partition('WeightsUnpickler error: ')[2] or str(error)
    cause = f'{type(error).__name__}: {textwrap.shorten(cause.partition(chr(10))[0], 120, placeholder=" ...")}'
    return f'{path} is not a readable checkpoint, perhaps truncated or damaged ({cause})'


def write_checkpoint(checkpoint: dict, path: str | os.PathLike) -> None:
    """Save ``checkpoint`` atomically (:func:`flsl_mm.utils.fileio.atomic_writer`).

    Raises:
        CheckpointError: If it has NaN or infinity, so that :func:`read_checkpoint` would refuse it.
        OSError: If the folder cannot be written or the disk is full; an earlier file at ``path`` stays as it was.
    """
    try:
        check_finite(checkpoint)
    except DamagedError as error:
        raise CheckpointError(f'{path} is not written: {error}') from None
    # torch's own writer meets a full disk with an error that is no OSError.
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    with atomic_writer(path) as file:
        file.write(buffer.getbuffer())


def write_safetensors(content: dict, path: str | os.PathLike, with_meta: bool = True) -> None:
    """Save a backbone file's content as safetensors, its ``meta`` as JSON in the header; errors as above.

    Args:
        content: ``dict(state_dict, meta)``, see :func:`flsl_mm.checkpoint.backbone_file`.
        path: File to write.
        with_meta: Whether to note ``meta``.
    """
    from safetensors.torch import save

    try:
        check_finite(content)
    except DamagedError as error:
        raise CheckpointError(f'{path} is not written: {error}') from None
    meta = {SAFETENSORS_META: json.dumps(content['meta'])} if with_meta else {}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in content['state_dict'].items()}
    with atomic_writer(path) as file:
        file.write(save(tensors, metadata={'format': 'pt', **meta}))
