"""Images in tar files, the shards of WebDataset: a few large files in the place of a million small ones."""

from __future__ import annotations

import io
import logging
import os
import posixpath
import tarfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import get_worker_info

from flsl_mm.utils.fileio import open_regular, printable

from .folder import PathList, list_files
from .image_bounds import MAX_BYTES
from .image_file import ImageError
from .images import FLSLImages

MAX_HEADER = 2**20
"""Bytes of a name or of a pax header in a tar file at most; tarfile reads them whole."""

MAX_OPEN = 64
"""Shards that a loader worker keeps open; systems allow from 256 files on."""

COMPRESSED = (b'.tar.gz', b'.tgz', b'.tar.bz2', b'.tbz2', b'.tar.xz', b'.txz', b'.tar.zst')
_PACKING = 'unpack it, or pack it without compression'


@DATASETS.register_module()
class FLSLShards(FLSLImages):
    """Teacher views of every image in the tar files below a folder; arguments and items are those of ``FLSLImages``.

    Any image of any shard is read by its place in the file, so that sampling, exact resuming and skipping of damaged
    images are as with a folder, and the images of a folder packed in the order of their names give the same batches.
    The shards' headers are read once at the start, without what lies between them. ``.cls``, ``.json`` and whatever
    else is not an image is passed over. ``data_root`` may also be one shard.

    Raises:
        FileNotFoundError: If there is no such folder, no shard in it, or no image in the shards.
        ValueError: If a shard is compressed, of which no part can be read alone, damaged, or no tar file.
    """

    def find(self, data_root: str | os.PathLike, extensions: Sequence[str]) -> PathList:
        """List the images as ``shard.tar/name``, and note where each one lies."""
        root = Path(os.path.abspath(os.path.expanduser(data_root)))
        self.shards = [root] if root.is_file() else find_shards(root, extensions)
        root = root.parent if root.is_file() else root
        names, places = [], []
        for number, shard in enumerate(self.shards):
            for name, offset, size in image_members(shard, tuple(extensions)):
                names.append(os.fsencode(os.path.join(shard.relative_to(root), name)))
                places.append((number, offset, size))
        if not names:
            raise FileNotFoundError(
                f'no image ({", ".join(extensions)}) in the tar files of {root} ({len(self.shards)})'
            )
        self.places = np.array(places, dtype=np.int64)
        self.files: dict[int, io.FileIO] = {}
        return PathList(str(root), names)

    def open(self, index: int) -> io.BytesIO:
        """Read the file of an image.

        Raises:
            ImageError: If it is not there any more, or too large.
        """
        number, offset, size = self.places[index].tolist()
        if size > MAX_BYTES:
            raise ImageError(f'file of {size >> 20} MB, more than {MAX_BYTES >> 20}')
        try:
            with self._shard(number) as file:
                content = read_at(file.fileno(), size, offset)
        except OSError as error:
            raise ImageError(f'{printable(self.shards[number])} cannot be read: {error.strerror}') from error
        if len(content) < size:
            raise ImageError(f'{printable(self.shards[number])} ends inside the file')
        return io.BytesIO(content)

    def file_size(self, index: int) -> int:
        """Size of the file of an image in bytes."""
        return int(self.places[index][2])

    def _shard(self, number: int) -> AbstractContextManager[io.FileIO]:
        """Open a shard. A loader worker keeps it open; of too many the one that was not used longest is closed."""
        if get_worker_info() is None:  # the run's own process reads a few images at its start
            return io.FileIO(self.shards[number])
        file = self.files.pop(number, None)
        if file is None:
            if len(self.files) >= MAX_OPEN:
                self.files.pop(next(iter(self.files))).close()
            file = io.FileIO(self.shards[number])
        self.files[number] = file
        return nullcontext(file)

    def __getstate__(self) -> dict:
        """Leave out the open files, which are this process's."""
        return vars(self) | dict(files={})


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Read bytes of a file that other processes may have open too, at a place of their own where the system can."""
    if hasattr(os, 'pread'):
        return os.pread(descriptor, size, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)  # without pread there is no fork either, so the file is this process's
    return os.read(descriptor, size)


def find_shards(root: Path, extensions: Sequence[str]) -> list[Path]:
    """List the tar files below a folder, sorted, and warn of what else there might be meant.

    Raises:
        FileNotFoundError: If the folder is missing or has none.
    """
    names = sorted(list_files(root))
    shards = [name for name in names if name.lower().endswith(b'.tar')]
    packed = [name for name in names if name.lower().endswith(COMPRESSED)]
    images = [name for name in names if name.lower().endswith(tuple(map(os.fsencode, extensions)))]
    example = f', the first is {printable(os.fsdecode(packed[0]))}' if packed else ''
    if not shards and packed:
        raise FileNotFoundError(f'{root} has compressed tar files alone{example}: unpack them, or pack without')
    if not shards:
        advice = f': FLSLImages reads its {len(images)} images' if images else ''
        raise FileNotFoundError(f'no tar file (.tar) in the folder {root}{advice}')
    if packed:
        _warn(f'compressed tar files in {root} are left out ({len(packed)}{example}): unpack them')
    if images:
        _warn(f'images in {root} that are in no tar file are left out ({len(images)})')
    return [root / os.fsdecode(name) for name in shards]


class _HolesError(ValueError):
    """An image of which the tar file has no single piece."""


class _HeaderFile(io.BufferedReader):
    """A tar file of whose headers none is read that is too long: a size in it may be anything."""

    def read(self, size: int | None = -1) -> bytes:
        """Read as any file does, or raise tarfile's error."""
        if size is None or not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f'a header of {size:,} bytes')
        return super().read(size)


def image_members(shard: Path, endings: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """List the images of a tar file, sorted by name: name, place of the first byte, number of bytes.

    A link to an image of the same tar file is that image once more, as tar packs the second name of a file.

    Raises:
        ValueError: If it is compressed, damaged or no tar file.
    """
    found, links = {}, {}
    with _HeaderFile(open_regular(shard).detach()) as file:
        total = os.fstat(file.fileno()).st_size
        try:
            with tarfile.open(fileobj=file, mode='r:') as tar:
                while (member := tar.next()) is not None:
                    tar.members = []  # which would hold every header
                    if not member.offset < tar.offset <= total:
                        raise tarfile.ReadError(f'a member of {member.size:,} bytes')
                    name = posixpath.normpath(member.name).lstrip('/')
                    if not name.lower().endswith(endings) or posixpath.basename(name).startswith('.'):
                        continue
                    if member.issparse():
                        raise _HolesError(f'{shard} has {printable(name)} with holes: pack it without --sparse')
                    if member.isreg():
                        links.pop(name, None)  # as unpacking takes the later of two
                        found[name] = member.offset_data, member.size
                    elif member.islnk() or member.issym():
                        folder = posixpath.dirname(name) if member.issym() else ''
                        found.pop(name, None)
                        links[name] = posixpath.normpath(posixpath.join(folder, member.linkname))
                end = tar.offset
        except _HolesError:
            raise
        except (tarfile.TarError, ValueError, RecursionError) as error:  # tarfile's own parsing fails with all
            if file.tell() <= tarfile.BLOCKSIZE:
                raise ValueError(f'{shard} is not an uncompressed tar file ({error}): {_PACKING}') from None
            raise ValueError(_damage(shard, min(file.tell(), total))) from None
        # At a header that is none, tarfile takes the file for ended, and so it does where it was cut off.
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError(_damage(shard, end))
    lost = [name for name, target in links.items() if target not in found]
    if lost:
        first = f'{len(lost)}, the first is {lost[0]}'
        _warn(f'links that lead out of {shard} are left out ({first}): pack with tar --dereference')
    found |= {name: found[target] for name, target in links.items() if target in found}
    return sorted((name, *place) for name, place in found.items())


def _damage(shard: Path, place: int) -> str:
    return f'{shard} is damaged or cut off: no header after {place:,} of {shard.stat().st_size:,} bytes; copy it again'


def _warn(line: str) -> None:
    print_log(printable(line), logger='current', level=logging.WARNING)
