"""Images of a folder tree without labels, for pretraining."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from flsl_mm.utils.fileio import printable

from .decode import EXTENSIONS, decode_teacher_view

try:
    import fcntl
except ModuleNotFoundError:  # not on this system: two workers may list a file at the same moment
    fcntl = None

_MAX_FAILURES = 100
_MAX_WARNINGS = 20
_ADVICE = (
    'set train_dataloader.dataset.data_root to your folder of images (flat or nested, no labels, no lists), '
    'or use configs/pretrain/flsl_vit-t16_scenes.py, which needs no data'
)

SHARDS_ADVICE = 'set train_dataloader.dataset.type=FLSLShards to train on what is in tar files'


@DATASETS.register_module()
class FLSLImages(Dataset):
    """Teacher views of every image below a folder: flat or nested, no labels, no list file.

    An item is a function of its *virtual index* ``v`` alone: image ``v % len(dataset)``, cropped with random numbers
    of the seed and ``v``. A sampler that counts on through the epochs (:class:`~flsl_mm.datasets.FLSLSampler`) thus
    gets a new crop of each image in each epoch, and the same ones again after a resume.

    A file that cannot be used (see :func:`~flsl_mm.datasets.decode.decode_teacher_view`), or that is gone, is skipped:
    the item is made of another image, drawn with random numbers of the seed and ``v``. Skipped files are reported
    and, where :attr:`skipped_log` is set, appended to that file as ``path<TAB>reason``; then each is reported once in
    all workers and epochs, resumed ones included.

    Args:
        data_root: The folder.
        size: Side of the teacher view in pixels.
        scale: Range of the teacher crop's area, as a fraction of the image's area.
        seed: Seed of the crops.
        extensions: Endings of the files that count as images, lower case; upper case is accepted too.
        min_side: Images with a side of fewer pixels are skipped.

    Attributes:
        paths: Sequence of the images' paths, sorted.
        skipped_log: File that lists the skipped files, or None. To be set before workers start.

    Raises:
        FileNotFoundError: If the folder is missing or holds no image.
        NotADirectoryError: If ``data_root`` is a file.
        PermissionError: If the folder, or one inside it, cannot be read.
    """

    def __init__(
        self,
        data_root: str | os.PathLike,
        size: int = 224,
        scale: tuple[float, float] = (0.8, 1.0),
        seed: int = 0,
        extensions: Sequence[str] = EXTENSIONS,
        min_side: int = 8,
    ) -> None:
        if not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
            raise ValueError(f'scale must be a range (low, high) with 0 < low <= high <= 1, got {scale}')
        self.paths = self.find(data_root, extensions)
        self.size = size
        self.scale = tuple(scale)
        self.seed = seed
        self.min_side = min_side
        self.skipped_log: Path | None = None
        self.metainfo: dict = {}  # the Runner warns of a data set without
        self._reported: set[str] = set()

    def find(self, data_root: str | os.PathLike, extensions: Sequence[str]) -> 'PathList':
        """List the images."""
        return find_images(data_root, extensions)

    def open(self, index: int) -> str | IO[bytes]:
        """Return the file of an image, or its path."""
        return self.paths[index]

    def __len__(self) -> int:
        """Number of image files, those that turn out to be bad included."""
        return len(self.paths)

    def __getitem__(self, virtual_index: int) -> dict:
        """Decode an image and crop it.

        Args:
            virtual_index: 0 or more; see the class.

        Returns:
            ``inputs``, the teacher view, uint8 ``(3, size, size)``, and ``img_path``, the file that it shows.

        Raises:
            RuntimeError: If 100 draws in a row give no usable image.
        """
        if virtual_index < 0:
            raise IndexError(f'virtual index {virtual_index} is negative')
        for attempt in range(_MAX_FAILURES):
            rng = np.random.default_rng((self.seed, virtual_index, attempt))
            index = rng.integers(len(self)) if attempt else virtual_index % len(self)
            path = self.paths[index]
            try:
                view = decode_teacher_view(self.open(index), self.size, self.scale, rng, self.min_side)
            except Exception as error:
                # Pillow's decoders raise errors of many kinds for damaged files; none of them may end a run.
                reason = printable(' '.join(f'{type(error).__name__}: {error}'.split()))
                self._report(path, reason)
            else:
                return dict(inputs=view, img_path=path)
        raise RuntimeError(
            f'{_MAX_FAILURES} images drawn in a row from {self.paths.root} cannot be read; the last: {path} ({reason})'
        )

    def _report(self, path: str, reason: str) -> None:
        if path in self._reported:
            return
        self._reported.add(path)
        is_new = self.skipped_log is None or append_skipped(self.skipped_log, path, reason)
        if is_new and len(self._reported) <= _MAX_WARNINGS:
            line = printable(f'skipped {path} ({reason})')
            print_log(line, logger='current', level=logging.WARNING)


class PathList(Sequence):
    """Sorted paths below a folder, in one buffer.

    A list of a million strings would be copied, page by page, into every worker, since reading a Python object writes
    its reference count. Two arrays stay shared.

    Args:
        root: The folder.
        names: Paths relative to it, as bytes of the file system's encoding.
    """

    def __init__(self, root: str, names: list[bytes]) -> None:
        self.root = root
        self._names = np.frombuffer(b''.join(names), dtype=np.uint8)
        self._ends = np.cumsum([len(name) for name in names])

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        """Full path of the image with the given index (no slices; negative indices count from the end)."""
        index = range(len(self))[index]
        start = self._ends[index - 1] if index else 0
        return os.path.join(self.root, os.fsdecode(self._names[start : self._ends[index]].tobytes()))


def find_images(data_root: str | os.PathLike, extensions: Sequence[str] = EXTENSIONS) -> PathList:
    """List the image files of a folder tree; links to folders are followed, hidden files and folders left out.

    Args:
        data_root: The folder.
        extensions: Endings of the files that count as images, lower case; upper case is accepted too.

    Returns:
        The paths, sorted by their bytes.

    Raises:
        FileNotFoundError: If the folder is missing or holds no image.
        NotADirectoryError: If ``data_root`` is a file.
        PermissionError: If the folder, or one inside it, cannot be read.
    """
    root = os.path.abspath(os.path.expanduser(data_root))
    endings = tuple(os.fsencode(extension.lower()) for extension in extensions)
    names, shards = [], 0
    for name in list_files(root):
        if name.lower().endswith(endings):
            names.append(name)
        shards += name.lower().endswith(b'.tar')
    if not names and shards:
        raise FileNotFoundError(f'no image but tar files ({shards}) in the folder {root}: {SHARDS_ADVICE}')
    if not names:
        raise FileNotFoundError(f'no image ({", ".join(extensions)}) in the folder {root}: {_ADVICE}')
    if shards:
        line = printable(f'tar files in {root} are left out ({shards}): {SHARDS_ADVICE}')
        print_log(line, logger='current', level=logging.WARNING)
    return PathList(root, sorted(names))


def list_files(root: str | os.PathLike) -> Iterator[bytes]:
    """List the files of a folder tree, links to folders followed, hidden files and folders left out.

    Args:
        root: The folder.

    Yields:
        Paths relative to it, as bytes of the file system's encoding, in no particular order.

    Raises:
        FileNotFoundError: If the folder is missing.
        NotADirectoryError: If it is a file.
        PermissionError: If it, or a folder inside it, cannot be read.
    """
    if not os.path.exists(root):
        raise FileNotFoundError(f'no image folder at {root}: put the images there, {_ADVICE}')
    if not os.path.isdir(root):
        raise NotADirectoryError(f'{root} is a file, not a folder of images: {_ADVICE}')
    folders, seen = [b''], set()
    while folders:
        folder = folders.pop()
        files, subfolders = _scan(os.path.join(os.fsencode(root), folder), seen)
        yield from (os.path.join(folder, name) for name in files)
        folders += [os.path.join(folder, name) for name in subfolders]


def _scan(folder: bytes, seen: set[tuple[int, int]]) -> tuple[list[bytes], list[bytes]]:
    """List the names of files and of folders in a folder; none for a folder seen before (links may form a circle)."""
    files, folders = [], []
    try:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return files, folders
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                # A link that leads to itself is neither; it is a file that cannot be read if it is called like one.
                with suppress(OSError):
                    if not entry.name.startswith(b'.'):
                        (folders if entry.is_dir() else files).append(entry.name)
    except PermissionError:
        raise PermissionError(f'no permission to read the image folder {os.fsdecode(folder)}: {_ADVICE}') from None
    return files, folders


def append_skipped(log: str | os.PathLike, path: str, reason: str) -> bool:
    """Add a line to the list of skipped files unless it has the file; several processes may do so at once.

    Args:
        log: The list.
        path: Path of the skipped file.
        reason: Why it was skipped, one line.

    Returns:
        Whether the file was new.
    """
    path = ' '.join(path.splitlines())
    with open(log, 'ab+') as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        if path in read_skipped(log):
            return False
        file.write(os.fsencode(f'{path}\t{reason}\n'))
    return True


def read_skipped(log: str | os.PathLike) -> dict[str, str]:
    """Read the list of skipped files: path -> reason, each file once; empty where no file was skipped."""
    if not os.path.exists(log):
        return {}
    with open(log, encoding='utf-8', errors='surrogateescape') as lines:
        rows = (line.rstrip('\n').rsplit('\t', 1) for line in lines)
        return dict(row for row in rows if len(row) == 2)
