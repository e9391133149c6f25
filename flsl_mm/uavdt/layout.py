"""Files of a UAVDT download: sequences, split, images and attributes; reading of a sequence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flsl_mm.datasets.image_file import open_image

from .annotations import BOX_COLUMNS, read_attributes, read_boxes, read_regions

IMAGES = 'UAV-benchmark-M'
TRUTH = 'UAV-benchmark-MOTD_v1.0/GT'
ATTRIBUTE_FILES = 'M_attr'
SPLITS = ('train', 'test')
_IMAGE_NAME = re.compile(r'img(\d{6})\.(jpg|jpeg|png)', re.IGNORECASE)
_BOX = slice(BOX_COLUMNS.index('left'), BOX_COLUMNS.index('height') + 1)

_TRAIN = """
M0101 M0201 M0202 M0204 M0206 M0207 M0210 M0301 M0401 M0402 M0501 M0603 M0604 M0605 M0702 M0703 M0704 M0901 M0902 M1002
M1003 M1005 M1006 M1008 M1102 M1201 M1202 M1304 M1305 M1306
"""
_TEST = """
M0203 M0205 M0208 M0209 M0403 M0601 M0602 M0606 M0701 M0801 M0802 M1001 M1004 M1007 M1009 M1101 M1301 M1302 M1303 M1401
"""

UAVDT_SEQUENCES = {'train': tuple(_TRAIN.split()), 'test': tuple(_TEST.split())}
"""The official sequences of the detection task (Du et al., ECCV 2018), by split."""


@dataclass(frozen=True)
class UAVDTSequence:
    """A sequence of the download.

    Args:
        name: Name, such as ``M0101``.
        split: ``'train'`` or ``'test'``.
        attributes: The ten flags by name (``annotations.ATTRIBUTES``); None where there is no file of them.
    """

    name: str
    split: str
    attributes: dict[str, bool] | None


@dataclass(frozen=True)
class UAVDTFrames:
    """Frames of a sequence with what is annotated on them, in the order of the frames.

    Args:
        sequence: Where they are from.
        numbers: Frame numbers (F,), ascending, from 1.
        files: Images, relative to the root of the download, with ``/``.
        sizes: Width and height of each image (F, 2) in pixels.
        boxes: Objects (N, 9), columns as in ``annotations.BOX_COLUMNS``, clipped to their image.
        regions: Ignore regions (M, 6), columns as in ``annotations.REGION_COLUMNS``, clipped to their image.
        outside: Numbers of objects and of regions that were left out because nothing of them is in their image.
    """

    sequence: UAVDTSequence
    numbers: np.ndarray
    files: tuple[str, ...]
    sizes: np.ndarray
    boxes: np.ndarray
    regions: np.ndarray
    outside: tuple[int, int]


def find_sequences(root: Path) -> list[UAVDTSequence]:
    """Find the sequences of a download, each with its split.

    The split is the folder of ``M_attr`` that has the sequence's file, and where there is none the official list.

    Args:
        root: Folder with ``UAV-benchmark-M``, ``UAV-benchmark-MOTD_v1.0/GT`` and perhaps ``M_attr``.

    Returns:
        Sequences in the order of their names.

    Raises:
        FileNotFoundError: If a folder or file of the truth is missing, or all images of a sequence.
        ValueError: If a sequence has no split, or two, or a file of attributes is malformed.
    """
    for name in (IMAGES, TRUTH):
        if not (root / name).is_dir():
            raise FileNotFoundError(f'no folder {root / name}: {root} must hold {IMAGES} and {TRUTH} of the download')
    with_images = {
        path.name for path in (root / IMAGES).iterdir() if path.is_dir() and not path.name.startswith(('.', '_'))
    }
    suffix = '_gt_whole.txt'
    with_truth = {path.name.removesuffix(suffix) for path in (root / TRUTH).glob('*' + suffix)}
    for name in sorted(with_images - with_truth):
        raise FileNotFoundError(f'no file {root / TRUTH / (name + suffix)} for the images of {name}')
    for name in sorted(with_truth - with_images):
        raise FileNotFoundError(
            f'no images {root / IMAGES / name} for {name}{suffix}; to convert a part of UAVDT, remove that file'
        )
    if not with_truth:
        raise FileNotFoundError(f'no sequences in {root / IMAGES}')
    described = _read_attribute_files(root / ATTRIBUTE_FILES)
    listed = {name: (split, None) for split, names in UAVDT_SEQUENCES.items() for name in names}
    sequences = []
    for name in sorted(with_truth):
        if name not in described and name not in listed:
            raise ValueError(
                f'{name} is neither a train nor a test sequence of UAVDT: remove {root / IMAGES / name} and '
                f'{name}{suffix}, or say its split by a file {ATTRIBUTE_FILES}/train/{name}_attr.txt'
            )
        sequences.append(UAVDTSequence(name, *(described.get(name) or listed[name])))
    return sequences


def _read_attribute_files(folder: Path) -> dict[str, tuple[str, dict[str, bool]]]:
    """Return split and flags of the sequences that have a file of attributes."""
    described = {}
    for split in SPLITS:
        for path in sorted((folder / split).glob('*_attr.txt')):
            # The official download has a file "M0701 _attr.txt".
            name = path.name.removesuffix('_attr.txt').strip()
            if name in described:
                raise ValueError(f'{path}: {name} has another file of attributes in {folder / described[name][0]}')
            described[name] = (split, read_attributes(path))
    return described


def read_frames(root: Path, sequence: UAVDTSequence, stride: int = 1) -> UAVDTFrames:
    """Read what is annotated in a sequence, and the sizes of its images (their headers only).

    Args:
        root: Root of the download.
        sequence: One of :func:`find_sequences`.
        stride: Every how many frames one is taken, beginning with frame 1.

    Raises:
        FileNotFoundError: If the image of a taken frame is missing.
        ValueError: If a line of the truth is malformed or an image is unreadable.
    """
    boxes = read_boxes(root / TRUTH / f'{sequence.name}_gt_whole.txt')
    regions = read_regions(root / TRUTH / f'{sequence.name}_gt_ignore.txt')
    folder, images = _find_images(root / IMAGES / sequence.name)
    annotated = np.concatenate([boxes[:, 0], regions[:, 0]]).astype(np.int64)
    numbers = np.union1d(np.arange(1, max(images) + 1), annotated)
    numbers = numbers[(numbers - 1) % stride == 0]
    missing = [number for number in numbers.tolist() if number not in images]
    if missing:
        more = f' (and {len(missing) - 1} more frames)' if len(missing) > 1 else ''
        raise FileNotFoundError(f'no image of frame {missing[0]} of {sequence.name} in {folder}{more}')
    names = [images[number] for number in numbers.tolist()]
    sizes = np.array([_read_size(folder / name) for name in names])
    boxes, num_outside = _select_rows(boxes, numbers, sizes)
    regions, num_regions_outside = _select_rows(regions, numbers, sizes)
    below_root = folder.relative_to(root).as_posix()
    files = tuple(f'{below_root}/{name}' for name in names)
    return UAVDTFrames(sequence, numbers, files, sizes, boxes, regions, (num_outside, num_regions_outside))


def _find_images(folder: Path) -> tuple[Path, dict[int, str]]:
    """Return the folder that holds a sequence's images, and their names by frame number."""
    if (folder / 'img1').is_dir():
        folder = folder / 'img1'
    images: dict[int, str] = {}
    for path in folder.iterdir():
        match = _IMAGE_NAME.fullmatch(path.name)
        if match and images.setdefault(int(match[1]), path.name) != path.name:
            raise ValueError(f'{folder} has two images of frame {int(match[1])}')
    if not images:
        raise FileNotFoundError(f'no images img000001.jpg, ... in {folder}')
    return folder, images


def _read_size(path: Path) -> tuple[int, int]:
    with open_image(path) as image:
        return image.size


def _select_rows(table: np.ndarray, numbers: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the rows of some frames, clipped to the images and ordered by frame, and how many were outside.

    Args:
        table: Rows (N, 6 or 9), first the frame number.
        numbers: Wanted frame numbers (F,), ascending.
        sizes: Width and height of their images (F, 2).
    """
    taken = table[np.isin(table[:, 0], numbers)]
    taken = taken[np.argsort(taken[:, 0], kind='stable')]
    limits = sizes[np.searchsorted(numbers, taken[:, 0])]
    taken[:, _BOX] = clip_boxes(taken[:, _BOX], limits)
    inside = (taken[:, _BOX][:, 2:] > 0).all(1)
    return taken[inside], int((~inside).sum())


def clip_boxes(boxes: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Clip boxes to their images.

    Args:
        boxes: Left, top, width, height (N, 4) in pixels.
        limits: Width and height of the image of each box (N, 2).

    Returns:
        Boxes (N, 4); width or height is 0 or less for a box outside its image.
    """
    low = np.clip(boxes[:, :2], 0, limits)
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, limits)
    return np.concatenate([low, high - low], axis=1)
