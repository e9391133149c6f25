"""Images of a folder tree without labels, for pretraining."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from flsl_mm.utils.fileio import printable

from .decode import decode_teacher_view
from .file_digest import file_digest
from .folder import PathList, find_images
from .image_file import EXTENSIONS, ImageError
from .skipped import SkippedLog
from .value_range import checked_range, find_value_range, using_range

_MAX_FAILURES = 100
_MAX_WARNINGS = 20


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
        value_range: Black and white of images with more than 8 bits. By default they are found in a sample of the
            files, and logged, where these use less than half of 16 bits.

    Attributes:
        paths: Sequence of the images' paths, sorted.
        value_range: As given or found; None is that of 16 bits.
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
        value_range: tuple[float, float] | None = None,
    ) -> None:
        if not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
            raise ValueError(f'scale must be a range (low, high) with 0 < low <= high <= 1, got {scale}')
        self.paths = self.find(data_root, extensions)
        self.value_range = checked_range(value_range) if value_range else find_value_range(self.paths, self.open)
        self.size = size
        self.scale = tuple(scale)
        self.seed = seed
        self.min_side = min_side
        self.skipped_log: Path | None = None
        self.metainfo: dict = {}  # the Runner warns of a data set without
        self._reported: set[str] = set()
        self._log: SkippedLog | None = None

    def find(self, data_root: str | os.PathLike, extensions: Sequence[str]) -> PathList:
        """List the images."""
        return find_images(data_root, extensions)

    def open(self, index: int) -> str | IO[bytes]:
        """Return the file of an image, or its path."""
        return self.paths[index]

    def file_size(self, index: int) -> int:
        """Size of the file of an image in bytes, -1 where it is gone."""
        try:
            return os.stat(self.paths[index]).st_size
        except OSError:
            return -1

    def digest(self) -> str:
        """Return a digest of the files' names and sizes, see :mod:`~flsl_mm.datasets.file_digest`."""
        return file_digest([self.paths.name(index) for index in range(len(self))], self.file_size)

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
                with using_range(self.value_range):
                    view = decode_teacher_view(self.open(index), self.size, self.scale, rng, self.min_side)
            except ImageError as error:
                reason = error.reason
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
        if self._log is None and self.skipped_log is not None:
            self._log = SkippedLog(self.skipped_log)
        is_new = self._log is None or self._log.add(path, reason)
        if is_new and len(self._reported) <= _MAX_WARNINGS:
            line = printable(f'skipped {path} ({reason})')
            print_log(line, logger='current', level=logging.WARNING)
