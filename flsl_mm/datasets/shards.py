"""Images in tar files, the shards of WebDataset: a few large files in the place of a million small ones."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS

from .image_file import MAX_BYTES
from .images import FLSLImages, PathList


@DATASETS.register_module()
class FLSLShards(FLSLImages):
    """Teacher views of every image in the tar files below a folder; arguments and items are those of ``FLSLImages``.

    Any image of any shard is read by its place in the file, so that sampling, exact resuming and skipping of damaged
    images are as with a folder, and the images of a folder packed in the order of their names give the same batches.
    The shards' headers are read once at the start, without what lies between them. ``.cls``, ``.json`` and whatever
    else is not an image is passed over.

    Raises:
        FileNotFoundError: If there is no shard in the folder, or no image in the shards.
        ValueError: If a shard is compressed, of which no part can be read alone, or no tar file.
    """

    def find(self, data_root: str | os.PathLike, extensions: Sequence[str]) -> PathList:
        """List the images as ``shard.tar/name``, and note where each one lies."""
        root = Path(os.path.abspath(os.path.expanduser(data_root)))
        self.shards = sorted(root.rglob('*.tar'))
        if not self.shards:
            raise FileNotFoundError(f'no shard (.tar) in the folder {root}: FLSLImages reads folders of images')
        names, places = [], []
        for number, shard in enumerate(self.shards):
            for name, offset, size in image_members(shard, tuple(extensions)):
                names.append(os.fsencode(os.path.join(shard.relative_to(root), name)))
                places.append((number, offset, size))
        if not names:
            raise FileNotFoundError(f'no image ({", ".join(extensions)}) in the {len(self.shards)} shards in {root}')
        self.places = np.array(places, dtype=np.int64)
        self.files: dict[int, int] = {}
        return PathList(str(root), names)

    def open(self, index: int) -> io.BytesIO:
        """Read the file of an image."""
        number, offset, size = self.places[index].tolist()
        if size > MAX_BYTES:
            raise ValueError(f'file of {size >> 20} MB, more than {MAX_BYTES >> 20}')
        if number not in self.files:  # of this process; others have inherited or opened their own, and share no place
            self.files[number] = os.open(self.shards[number], os.O_RDONLY)
        content = os.pread(self.files[number], size, offset)
        if len(content) < size:
            raise ValueError(f'{self.shards[number]} ends inside the file')
        return io.BytesIO(content)

    def __getstate__(self) -> dict:
        """Leave out the open files, which are this process's."""
        return vars(self) | dict(files={})


def image_members(shard: Path, endings: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """List the images of a tar file, sorted by name: name, place of the first byte, number of bytes.

    Raises:
        ValueError: If it is compressed or no tar file.
    """
    found = []
    try:
        with tarfile.open(shard, 'r:') as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # which would hold every header
                hidden = os.path.basename(member.name).startswith('.')
                if member.isreg() and member.name.lower().endswith(endings) and not hidden:
                    found.append((member.name.removeprefix('./'), member.offset_data, member.size))
    except tarfile.TarError as error:
        raise ValueError(
            f'{shard} is not an uncompressed tar file ({error}): unpack it, or pack it without compression'
        ) from None
    return sorted(found)
