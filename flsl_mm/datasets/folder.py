"""Find the image files of a folder: one list for training, embedding, drawing and evaluation."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from flsl_mm.utils.fileio import printable
from flsl_mm.utils.mm import print_log

from .image_file import EXTENSIONS, HEIF_ADVICE

TRAINING_ADVICE = (
    'set train_dataloader.dataset.data_root to your folder of images (flat or nested, no labels, no lists), '
    'or use configs/pretrain/flsl_vit-t8d4_scenes.py, which needs no data'
)

SHARDS_ADVICE = 'set train_dataloader.dataset.type=FLSLShards to train on what is in tar files'

_ADVICE = {
    '.tar': SHARDS_ADVICE,
    '.avif': 'update Pillow to read them',
    '.heic': HEIF_ADVICE,
    '.heif': HEIF_ADVICE,
}
"""What to do about files that are left out, by ending."""

_OTHER_IMAGES = ('.jp2', '.jxl', '.svg', '.psd', '.exr', '.dng', '.cr2', '.cr3', '.nef', '.arw', '.raw', '.dcm', '.npy')
"""Endings of images that are not read."""

_NAMED_ENDINGS = 5


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

    def name(self, index: int) -> str:
        """Path of the image with the given index relative to the folder (negative indices count from the end)."""
        index = range(len(self))[index]
        start = self._ends[index - 1] if index else 0
        return os.fsdecode(self._names[start : self._ends[index]].tobytes())

    def __getitem__(self, index: int) -> str:
        """Full path of the image with the given index (no slices)."""
        return os.path.join(self.root, self.name(index))


def find_images(
    folder: str | os.PathLike,
    extensions: Sequence[str] = EXTENSIONS,
    advice: str = TRAINING_ADVICE,
    logger: logging.Logger | str = 'current',
) -> PathList:
    """List the image files of a folder tree; links to folders are followed, hidden files and folders left out.

    What is left out besides is counted by ending in a logged line.

    Args:
        folder: The folder.
        extensions: Endings of the files that count as images, lower case; upper case is accepted too.
        advice: What the folder should hold, for messages.
        logger: Where the line goes, by default to MMEngine's logger.

    Returns:
        The paths, sorted by their bytes.

    Raises:
        FileNotFoundError: If the folder is missing or holds no image.
        NotADirectoryError: If it is a file.
        PermissionError: If the folder, or one inside it, cannot be read.
    """
    root = os.path.abspath(os.path.expanduser(folder))
    endings = tuple(os.fsencode(extension.lower()) for extension in extensions)
    names, others = [], Counter()
    for name in list_files(root, advice):
        if name.lower().endswith(endings):
            names.append(name)
        else:
            others[os.fsdecode(os.path.splitext(name)[1].lower())] += 1
    if not names:
        left_out = f' but {_counts(others)}' if others else f' ({", ".join(extensions)})'
        raise FileNotFoundError(printable(f'no image{left_out} in the folder {root}: {_advice(others) or advice}'))
    if others:
        todo = _advice(others)
        line = printable(f'left out of {root}: {_counts(others)}{todo and f": {todo}"}')
        print_log(line, logger, logging.WARNING if todo or set(others) & set(_OTHER_IMAGES) else logging.INFO)
    return PathList(root, sorted(names))


def _counts(endings: Counter[str]) -> str:
    """Name the most frequent endings with their numbers."""
    named = [f'{count:,} {ending or "without ending"}' for ending, count in endings.most_common(_NAMED_ENDINGS)]
    rest = endings.total() - sum(count for _, count in endings.most_common(_NAMED_ENDINGS))
    return ', '.join([*named, *([f'{rest:,} others'] if rest else [])])


def _advice(endings: Counter[str]) -> str:
    return '; '.join(dict.fromkeys(_ADVICE[ending] for ending, _ in endings.most_common() if ending in _ADVICE))


def list_files(root: str | os.PathLike, advice: str = TRAINING_ADVICE) -> Iterator[bytes]:
    """List the files of a folder tree, links to folders followed, hidden files and folders left out.

    A folder that links lead to as well is listed once, under its own name if that is below ``root``.

    Args:
        root: The folder.
        advice: What it should hold, for messages.

    Yields:
        Paths relative to it, as bytes of the file system's encoding, in no particular order.

    Raises:
        FileNotFoundError: If the folder is missing.
        NotADirectoryError: If it is a file.
        PermissionError: If it, or a folder inside it, cannot be read.
    """
    if not os.path.exists(root):
        raise FileNotFoundError(printable(f'no image folder at {root}: {advice}'))
    if not os.path.isdir(root):
        raise NotADirectoryError(printable(f'{root} is a file, not a folder of images: {advice}'))
    folders, linked, seen = [b''], [], set()
    while folders or linked:
        folder = folders.pop() if folders else linked.pop(0)
        path = os.path.join(os.fsencode(root), folder)
        try:
            entries = _scan(path, seen)
        except PermissionError:
            message = f'no permission to read the image folder {os.fsdecode(path)}: {advice}'
            raise PermissionError(printable(message)) from None
        for name, kind in sorted(entries):
            if kind == 'file':
                yield os.path.join(folder, name)
            else:
                (linked if kind == 'link' else folders).append(os.path.join(folder, name))


def _scan(folder: bytes, seen: set[tuple[int, int]]) -> list[tuple[bytes, str]]:
    """List names and kinds of what is in a folder; nothing for one seen before (links may form a circle)."""
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return []
    seen.add((status.st_dev, status.st_ino))
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # a link that leads to itself
                if not entry.name.startswith(b'.'):
                    kind = ('link' if entry.is_symlink() else 'folder') if entry.is_dir() else 'file'
                    found.append((entry.name, kind))
    return found
