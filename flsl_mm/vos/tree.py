"""Read DAVIS trees: which videos there are, their frames and masks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from flsl_mm.datasets.image_file import ImageError, open_image
from flsl_mm.datasets.masks import read_mask

SIZE_STEP = 64
"""The longer side of a resized frame is a multiple of this many pixels (rounded down)."""


FRAME_SUFFIXES = ('.jpg', '.jpeg', '.png')

FRAME_IN_LIST = re.compile(r'([^/]+)/[^/]+\.(?:jpg|jpeg|png)\b', re.IGNORECASE)
"""A frame's path in a list of DAVIS-2016, whose folder is the video."""


@dataclass(frozen=True)
class Video:
    """A complete video: frames, and masks of some of them, the first among those.

    Args:
        name: Name of the video.
        frames: Frame files in order.
        masks: Mask files in order.
        mask_index: Index into ``frames`` of each mask.
        size_hw: Height and width that all of them have.
    """

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
    mask_index: tuple[int, ...]
    size_hw: tuple[int, int]


def input_size(size_hw: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Return the size at which a frame goes through the network: aspect ratio kept, then the longer side rounded down.

    Args:
        size_hw: Size of the file in pixels.
        short_side: Wanted shorter side, at least 64.

    Returns:
        Height and width; the longer side is a multiple of 64.
    """
    height, width = size_hw
    if height > width:
        return short_side * height // width // SIZE_STEP * SIZE_STEP, short_side
    return short_side, short_side * width // height // SIZE_STEP * SIZE_STEP


def read_video_names(path: Path) -> list[str]:
    """Read the videos that a split file names, in order, each once; names may have spaces.

    A line of DAVIS-2017 is a video's name; one of DAVIS-2016 is ``/JPEGImages/480p/VIDEO/00000.jpg`` and its mask.

    Raises:
        ValueError: If the file names no video, or a line what is not a name.
        FileNotFoundError: If there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no list of videos at {path}: data_root must hold ImageSets, JPEGImages, Annotations')
    lines = path.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    names = list(dict.fromkeys(_video_of_line(line.strip()) for line in lines if line.strip()))
    wrong = [name for name in names if name in ('', '.', '..') or not name.isprintable()]
    if wrong:
        raise ValueError(f'the list {path} has a line without a name of a video: {wrong[0]!r}')
    if not names:
        raise ValueError(f'the list {path} is empty: it names no video')
    return names


def _video_of_line(line: str) -> str:
    frame = FRAME_IN_LIST.search(line)
    if frame:
        return frame[1]
    return line.split()[0].split('/')[-2] if '/' in line.split()[0] else line


def visible(folder: Path) -> list[Path]:
    """List what is in a folder, sorted, without hidden entries: macOS and Jupyter put copies there."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith('.'))


def _numbered_files(folder: Path, suffixes: Sequence[str]) -> dict[int, Path]:
    found = visible(folder) if folder.is_dir() else []
    files = [path for path in found if path.suffix.lower() in suffixes]
    wrong = [path.name for path in files if not path.stem.isdigit()]
    if wrong:
        raise ValueError(f'{folder / wrong[0]} is not named by a frame number such as 00000{suffixes[0]}')
    numbers = {int(path.stem): path for path in files}
    if len(numbers) < len(files):
        raise ValueError(f'{folder} has {len(files)} files of {len(numbers)} frame numbers: one file for each')
    return numbers


def _header_size(path: Path) -> tuple[int, int]:
    with open_image(path) as image:
        return image.height, image.width


def _text(size_hw: tuple[int, int]) -> str:
    return f'{size_hw[1]}x{size_hw[0]}'


def find_video(name: str, frame_folder: Path, mask_folder: Path) -> Video:
    """List a video's files and check by names and headers that frames and masks fit together.

    Frames are numbered by one, or by another step throughout (by five in YouTube-VOS). Masks are there for all frames,
    for every n-th, or for the first alone.

    Args:
        name: Name of the video.
        frame_folder: Folder with its frames, ``00000.jpg`` and so on (or .jpeg, .png).
        mask_folder: Folder with its masks, ``00000.png`` and so on.

    Raises:
        ValueError: If there are fewer than 3 frames, frame numbers have a gap, masks are missing or have no frame,
            sizes differ, or a file's header is unreadable.
    """
    frames, masks = _numbered_files(frame_folder, FRAME_SUFFIXES), _numbered_files(mask_folder, ('.png',))
    if len(frames) < 3:
        raise ValueError(f'{len(frames)} frames in {frame_folder}: the evaluation needs at least 3')
    order = sorted(frames)
    first, last, suffix = order[0], order[-1], frames[order[0]].suffix
    step = min(after - before for before, after in pairwise(order))
    gap = next((number for number in range(first, last + 1, step) if number not in frames), None)
    if gap is not None:
        raise ValueError(
            f'frame {gap:05d}{suffix} is missing between {first:05d}{suffix} and {last:05d}{suffix} in {frame_folder}'
        )
    if first not in masks:
        raise ValueError(f'no first mask: {mask_folder / f"{frames[first].stem}.png"} does not exist')
    if masks.keys() - frames.keys():
        number = min(masks.keys() - frames.keys())
        raise ValueError(f'mask {number:05d} has no frame ({len(frames)} frames, {len(masks)} masks)')
    mask_index = [index for index, number in enumerate(order) if number in masks]
    _check_regular(mask_index, order)
    size_hw = _header_size(frames[first])
    for path in (*frames.values(), *masks.values()):
        size = _header_size(path)
        if size != size_hw:
            resized = path.parent == mask_folder and size > size_hw
            hint = ' (full-resolution masks with 480p frames?)' if resized else ''
            raise ValueError(f'{path} is {_text(size)}, but {frames[first].name} is {_text(size_hw)}{hint}')
    ordered = (frames[number] for number in order), (masks[order[index]] for index in mask_index)
    return Video(name, *map(tuple, ordered), tuple(mask_index), size_hw)


def _check_regular(mask_index: Sequence[int], order: Sequence[int]) -> None:
    """Raise ValueError unless all frames have masks, or every n-th to the end, or the first alone."""
    steps = {after - before for before, after in pairwise(mask_index)}
    if not steps or (len(steps) == 1 and mask_index[-1] + min(steps) >= len(order)):
        return
    missing = next(number for index, number in enumerate(order) if index not in mask_index)
    raise ValueError(
        f'frame {missing:05d} has no mask ({len(order)} frames, {len(mask_index)} masks): masks are needed of '
        'all frames, of every n-th, or of the first alone (where later masks show new objects, as in valid of '
        'YouTube-VOS, which label propagation does not take, leave the first)'
    )


def read_frame(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
    """Decode a frame and resize it bilinearly, without antialiasing as the original evaluation does.

    Args:
        path: Image file.
        size_hw: Wanted height and width.

    Returns:
        RGB (H, W, 3), uint8.

    Raises:
        ImageError: If the file is damaged.
    """
    with open_image(path) as image:
        pixels = np.asarray(image.convert('RGB'))
    return cv2.resize(pixels, size_hw[::-1], interpolation=cv2.INTER_LINEAR)


def read_object_ids(path: Path, single_object: bool) -> np.ndarray:
    """Read the object ids of a mask.

    Args:
        path: PNG file: a palette or gray image of ids (DAVIS-2017), or an image of 0 and 255 (DAVIS-2016), which may
            be a color image.
        single_object: Whether everything that is not 0 is object 1.

    Returns:
        Object ids (H, W), uint8, 0 the background.

    Raises:
        ImageError: If the file is damaged.
        ValueError: If it has colors or the value 255 where it should have ids.
    """
    try:
        ids = read_mask(path, gray=single_object)
    except ImageError:
        raise
    except ValueError as error:
        raise ValueError(f'{error}; set year=2016 for masks of one object') from None
    if single_object:
        return (ids != 0).astype(np.uint8)
    if ids.size and (ids.min() < 0 or ids.max() >= 255):
        raise ValueError(
            f'mask {path} has the value {ids.max()}, which is not an object id (1 to 254): set year=2016 for masks of '
            '0 and 255, and take Annotations, not Annotations_unsupervised'
        )
    return ids.astype(np.uint8)
