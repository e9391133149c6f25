"""What a converted UAVDT split says about its frames, as arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class FrameTruth:
    """The annotations of a frame.

    Args:
        sequence: Name of its sequence.
        boxes: Objects (G, 4): left, top, width, height in pixels.
        classes: Index of the class of each object (G,).
        occlusions: The benchmark's occlusion code of each object (G,).
        regions: Ignore regions (R, 4), as boxes.
    """

    sequence: str
    boxes: np.ndarray
    classes: np.ndarray
    occlusions: np.ndarray
    regions: np.ndarray


@dataclass(frozen=True)
class SplitTruth:
    """A converted split.

    Args:
        classes: Names of the classes.
        frames: Annotations by the id of the picture.
        attributes: Flags of each sequence by name; None for a sequence without a file of attributes.
    """

    classes: tuple[str, ...]
    frames: dict[int, FrameTruth]
    attributes: dict[str, dict[str, bool] | None]


def read_truth(path: str | Path) -> SplitTruth:
    """Read a file that ``tools/dataset_converters/uavdt2coco.py`` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no annotation file {path}: write it with tools/dataset_converters/uavdt2coco.py')
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        return _parse(content)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} was not written by tools/dataset_converters/uavdt2coco.py: {error!r}') from error


def _parse(content: dict) -> SplitTruth:
    categories = [category['id'] for category in content['categories']]
    images = content['images']
    annotations = content['annotations']
    image_ids = np.array([annotation['image_id'] for annotation in annotations], int)
    boxes = np.array([annotation['bbox'] for annotation in annotations], float).reshape(-1, 4)
    classes = np.array([categories.index(annotation['category_id']) for annotation in annotations], int)
    occlusions = np.array([0 if item['iscrowd'] else item['occlusion'] for item in annotations], int)
    crowd = np.array([annotation['iscrowd'] for annotation in annotations], bool)
    order = np.argsort(image_ids, kind='stable')
    wanted = [image['id'] for image in images]
    starts = np.searchsorted(image_ids[order], wanted, side='left')
    ends = np.searchsorted(image_ids[order], wanted, side='right')
    frames = {}
    for image, start, end in zip(images, starts, ends, strict=True):
        rows = order[start:end]
        objects, regions = rows[~crowd[rows]], rows[crowd[rows]]
        frames[image['id']] = FrameTruth(
            image['sequence'], boxes[objects], classes[objects], occlusions[objects], boxes[regions]
        )
    attributes = {name: sequence['attributes'] for name, sequence in content['sequences'].items()}
    return SplitTruth(tuple(category['name'] for category in content['categories']), frames, attributes)
