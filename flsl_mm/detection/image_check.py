"""Check the images of a detection data set: present, whole, of the annotated size."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice

from PIL import Image

from flsl_mm.datasets.decode import is_turned
from flsl_mm.datasets.image_file import ImageError, open_image
from flsl_mm.utils.fileio import open_regular

MAX_HEADERS = 10_000
"""Images of a data set whose headers are read before a run: a few seconds. Of larger sets a part, evenly spaced."""

HEAD_BYTES, TAIL_BYTES = 2**14, 64
THREADS = 16
END_MARKS = {'JPEG': b'\xff\xd9', 'PNG': b'IEND'}
"""What the last bytes of a whole file hold, by Pillow's name of its format."""


def find_problems(images: Sequence[Mapping]) -> dict[int, str]:
    """Find the images of a data set that are missing, and those that cannot be used among up to :data:`MAX_HEADERS`.

    Args:
        images: Items of a data list: ``img_path``, ``height`` and ``width``.

    Returns:
        What is wrong, by index.
    """
    problems = dict.fromkeys(_missing([image['img_path'] for image in images]), 'is missing')
    there = [index for index in range(len(images)) if index not in problems]
    looked_at = there[:: -(-len(there) // MAX_HEADERS) or 1]
    with ThreadPoolExecutor(THREADS) as threads:
        ends = threads.map(_read_ends, [images[index]['img_path'] for index in looked_at], chunksize=16)
        for index, (head, tail) in zip(looked_at, ends, strict=True):
            problem = _ends_problem(images[index], head, tail)
            if problem:
                problems[index] = problem
    return problems


def image_problem(info: Mapping) -> str | None:
    """Describe why an image cannot be used as its header tells; None where it can."""
    try:
        with open_image(info['img_path']) as image:
            return _size_problem(image, info)
    except ImageError as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        return 'is missing' if missing else f'cannot be read: {error.reason}'


def pixels_problem(path: str) -> str | None:
    """Decode an image and describe why that fails; None where it does not."""
    try:
        with open_image(path) as image:
            image.load()
    except ImageError as error:
        return f'cannot be read: {error.reason}'
    return None


def _missing(paths: Sequence[str]) -> list[int]:
    """List the indices of files that are not there; each folder is listed once."""
    folders = defaultdict(list)
    for index, path in enumerate(paths):
        folders[os.path.dirname(path)].append(index)
    missing = []
    for folder, indices in folders.items():
        try:
            names = set(os.listdir(folder or '.'))
        except OSError:
            names = set()
        missing += [index for index in indices if os.path.basename(paths[index]) not in names]
    return sorted(missing)


def _read_ends(path: str) -> tuple[bytes, bytes]:
    """Read the first and the last bytes of a file; nothing where that fails, which its reader tells."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
            file.seek(-min(TAIL_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return head, file.read()
    except (OSError, ValueError):
        return b'', b''


def _ends_problem(info: Mapping, head: bytes, tail: bytes) -> str | None:
    try:
        with open_image(BytesIO(head)) as image:
            problem, mark = _size_problem(image, info), END_MARKS.get(image.format, b'')
    except ImageError:  # a header that is longer than the head, or none
        problem, mark = image_problem(info), b''
    return problem or (pixels_problem(info['img_path']) if mark not in tail else None)


def _size_problem(image: Image.Image, info: Mapping) -> str | None:
    """Compare the size of an image as it is shown, turned as its EXIF orientation says, with the annotations."""
    turned, said = is_turned(image), (info['width'], info['height'])
    size = image.size[::-1] if turned else image.size
    if size == said:
        return None
    why = ' (turned by its EXIF orientation)' if turned and image.size == said else ''
    return f'is {size[0]}x{size[1]}{why}, and {said[0]}x{said[1]} in the annotations'


def describe(images: Sequence[Mapping], problems: Mapping[int, str], most: int = 3) -> str:
    """Name the first images that have problems, with the problem of each."""
    shown = '; '.join(f'{images[index]["img_path"]} {problem}' for index, problem in islice(problems.items(), most))
    return shown + (' ...' if len(problems) > most else '')
