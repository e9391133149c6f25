"""Files of a DAVIS tree: which videos there are, whether they are complete, and how a frame and a mask are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from flsl_mm.datasets.image_file import open_image

SIZE_STEP = 64
"""The longer side of a resized frame is a multiple of this many pixels (rounded down)."""

ID_MODES = ('P', 'L')
"""Pillow's names of palette and gray images, whose values are object ids."""


@dataclass(frozen=True)
class Video:
    """A complete video: one frame and one mask file per frame number.

    Args:
        name: Name of the video.
        frames: Frame files in order.
        masks: Mask files in order, as many.
        size_hw: Height and width that all of them have.
    """

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
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
    """Read the videos that a split file names, in order, each once.

    A line of DAVIS-2017 is a video's name; one of DAVIS-2016 is ``/JPEGImages/480p/VIDEO/00000.jpg`` and its mask.

    Raises:
        ValueError: If the file names no video, or a line what is not a name.
        FileNotFoundError: If there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no list of videos at {path}: data_root must hold ImageSets, JPEGImages, Annotations')
    lines = path.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    first_words = (line.split()[0] for line in lines if line.strip())
    names = list(dict.fromkeys(word.split('/')[-2] if '/' in word else word for word in first_words))
    wrong = [name for name in names if name in ('', '.', '..') or not name.isprintable()]
    if wrong:
        raise ValueError(f'the list {path} has a line without a name of a video: {wrong[0]!r}')
    if not names:
        raise ValueError(f'the list {path} is empty: it names no video')
    return names


def _numbered_files(folder: Path, suffix: str) -> dict[int, Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == suffix) if folder.is_dir() else []
    wrong = [path.name for path in files if not path.stem.isdigit()]
    if wrong:
        raise ValueError(f'{folder / wrong[0]} is not named by a frame number such as 00000{suffix}')
    return {int(path.stem): path for path in files}


def _header_size(path: Path) -> tuple[int, int]:
    try:
        with open_image(path) as image:
            return image.height, image.width
    # Pillow reports damaged files, and images of absurd sizes, by errors of many kinds.
    except Exception as error:
        raise ValueError(f'{path} is unreadable: {error}') from error


def _text(size_hw: tuple[int, int]) -> str:
    return f'{size_hw[1]}x{size_hw[0]}'


def find_video(name: str, frame_folder: Path, mask_folder: Path) -> Video:
    """List a video's files and check by names and headers that frames and masks fit together.

    Args:
        name: Name of the video.
        frame_folder: Folder with its frames, ``00000.jpg`` and so on.
        mask_folder: Folder with its masks, ``00000.png`` and so on.

    Raises:
        ValueError: If there are fewer than 3 frames, frame numbers have a gap, a mask is missing or has no frame,
            sizes differ, or a file's header is unreadable.
    """
    frames, masks = _numbered_files(frame_folder, '.jpg'), _numbered_files(mask_folder, '.png')
    if len(frames) < 3:
        raise ValueError(f'{len(frames)} frames in {frame_folder}: the evaluation needs at least 3')
    first, last = min(frames), max(frames)
    gap = next((number for number in range(first, last + 1) if number not in frames), None)
    if gap is not None:
        raise ValueError(f'frame {gap:05d}.jpg is missing between {first:05d}.jpg and {last:05d}.jpg in {frame_folder}')
    if first not in masks:
        raise ValueError(f'no first mask: {mask_folder / f"{frames[first].stem}.png"} does not exist')
    if frames.keys() != masks.keys():
        number = min(frames.keys() ^ masks.keys())
        have, lack = ('frame', 'mask') if number in frames else ('mask', 'frame')
        raise ValueError(f'{have} {number:05d} has no {lack} ({len(frames)} frames, {len(masks)} masks)')
    size_hw = _header_size(frames[first])
    for number, frame in frames.items():
        for path in (frame, masks[number]):
            size = _header_size(path)
            if size != size_hw:
                hint = ' (full-resolution masks with 480p frames?)' if path.suffix == '.png' and size > size_hw else ''
                raise ValueError(f'{path} is {_text(size)}, but {frames[first].name} is {_text(size_hw)}{hint}')
    order = sorted(frames)
    return Video(name, tuple(frames[n] for n in order), tuple(masks[n] for n in order), size_hw)


def read_frame(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
    """Decode a frame and resize it bilinearly, without antialiasing as the original evaluation does.

    Args:
        path: Image file.
        size_hw: Wanted height and width.

    Returns:
        RGB (H, W, 3), uint8.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        with open_image(path) as image:
            pixels = np.asarray(image.convert('RGB'))
    # Pillow reports damaged files by errors of many kinds.
    except Exception as error:
        raise ValueError(f'frame {path} is unreadable: {error}') from error
    return cv2.resize(pixels, size_hw[::-1], interpolation=cv2.INTER_LINEAR)


def read_mask(path: Path, single_object: bool) -> np.ndarray:
    """Read the object ids of a mask.

    Args:
        path: PNG file: a palette or gray image of ids (DAVIS-2017), or an image of 0 and 255 (DAVIS-2016), which may
            be a color image.
        single_object: Whether everything that is not 0 is object 1.

    Returns:
        Object ids (H, W), uint8, 0 the background.

    Raises:
        ValueError: If the file is damaged, or has colors or the value 255 where it should have ids.
    """
    try:
        with open_image(path) as image:
            mode = image.mode
            ids = np.asarray(image if mode in ID_MODES else image.convert('L'))
    # Pillow reports damaged files by errors of many kinds.
    except Exception as error:
        raise ValueError(f'mask {path} is unreadable: {error}') from error
    if single_object:
        return (ids != 0).astype(np.uint8)
    if mode not in ID_MODES:
        raise ValueError(
            f'mask {path} has mode {mode}, which holds no object ids: masks of several objects must be palette or gray '
            'images (mode P or L); set year=2016 for masks of one object'
        )
    if (ids == 255).any():
        raise ValueError(
            f'mask {path} has the value 255, which is not an object id: set year=2016 for masks of 0 and 255, '
            'and take Annotations, not Annotations_unsupervised'
        )
    return ids
