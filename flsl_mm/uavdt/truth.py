"""Ground truth of a converted UAVDT split, ready for COCO's evaluation."""

from __future__ import annotations

import contextlib
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from pycocotools.coco import COCO
from torch import Tensor

from .annotations import ATTRIBUTES


@dataclass(frozen=True)
class SplitTruth:
    """A converted split.

    Args:
        objects: Frames and annotated objects, numbered from 1; the ignore regions are not among them.
        classes: Names of the classes, in the order of their category ids.
        regions: Ignore regions by the id of their frame: corners x1, y1, x2, y2 (R, 4), float64.
        attributes: Ids of the frames whose sequence has a flag, by the name of the flag.
    """

    objects: COCO
    classes: tuple[str, ...]
    regions: dict[int, Tensor]
    attributes: dict[str, frozenset[int]]


def index_annotations(content: dict) -> COCO:
    """Build pycocotools' index of images, annotations and categories, without what it prints."""
    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def read_truth(path: str | Path) -> SplitTruth:
    """Read a file that ``flsl-mm uavdt2coco`` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no annotation file {path}: write it with flsl-mm uavdt2coco')
    try:
        return _parse(json.loads(Path(path).read_text(encoding='utf-8')))
    # Anything can be in a file; torch reports numbers that are too large by a RuntimeError.
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f'{path} was not written by flsl-mm uavdt2coco: {error!r}') from error


def _parse(content: dict) -> SplitTruth:
    images, sequences = content['images'], content['sequences']
    objects, corners = [], defaultdict(list)
    for annotation in content['annotations']:
        if annotation['iscrowd']:
            left, top, width, height = annotation['bbox']
            corners[annotation['image_id']].append((left, top, left + width, top + height))
        else:
            names = ('image_id', 'category_id', 'bbox', 'area', 'iscrowd', 'occlusion')
            # pycocotools takes an object with the id 0 for one that was not found.
            objects.append({name: annotation[name] for name in names} | dict(id=len(objects) + 1))
    regions = {i['id']: torch.tensor(corners[i['id']], dtype=torch.float64).reshape(-1, 4) for i in images}
    flags = {name: sequence['attributes'] or {} for name, sequence in sequences.items()}
    attributes = {
        name: frozenset(i['id'] for i in images if flags[i['sequence']].get(name, False)) for name in ATTRIBUTES
    }
    coco = index_annotations(dict(images=images, annotations=objects, categories=content['categories']))
    classes = tuple(category['name'] for category in coco.loadCats(sorted(coco.getCatIds())))
    return SplitTruth(coco, classes, regions, attributes)
