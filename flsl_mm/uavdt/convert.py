"""Convert UAVDT to COCO's JSON, with one sequence in memory at a time."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np

from .annotations import BOX_COLUMNS, CATEGORIES
from .layout import UAVDTFrames, UAVDTSequence, read_frames

CLASSES = {'three': CATEGORIES, 'vehicle': ('vehicle',)}
"""The classes of ``--classes``: those of the benchmark, or all of them as one."""
_COLUMN = {name: column for column, name in enumerate(BOX_COLUMNS)}


def read_sequences(root: Path, sequences: Sequence[UAVDTSequence], stride: int, workers: int) -> Iterator[UAVDTFrames]:
    """Read sequences in order, in several processes.

    Args:
        root: Root of the download.
        sequences: Sequences to read.
        stride: Every how many frames one is taken.
        workers: Number of processes; with 0 everything happens in this one.
    """
    read = partial(read_frames, root, stride=stride)
    if workers == 0:
        yield from map(read, sequences)
        return
    # Ctrl-C is this process's to handle; the others would each print where they were.
    pool = ProcessPoolExecutor(workers, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        yield from pool.map(read, sequences)
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass
class SplitCounts:
    """How much of a split was converted.

    Args:
        frames: Number of frames.
        regions: Number of ignore regions.
        boxes: Number of objects of each class.
        frames_with: Number of frames that have an object of each class.
        outside: Numbers of objects and regions that were left out because they are outside their image.
    """

    num_classes: int
    frames: int = 0
    regions: int = 0
    boxes: np.ndarray = field(init=False)
    frames_with: np.ndarray = field(init=False)
    outside: np.ndarray = field(default_factory=lambda: np.zeros(2, int))

    def __post_init__(self) -> None:
        self.boxes = np.zeros(self.num_classes, int)
        self.frames_with = np.zeros(self.num_classes, int)

    def add(self, frames: UAVDTFrames, category_ids: np.ndarray) -> None:
        """Count a sequence, whose objects have these category ids (N,)."""
        self.frames += len(frames.numbers)
        self.regions += len(frames.regions)
        self.outside += frames.outside
        for index in range(self.num_classes):
            of_class = category_ids == index + 1
            self.boxes[index] += of_class.sum()
            self.frames_with[index] += len(np.unique(frames.boxes[of_class, 0]))


class CocoSplitWriter:
    """Writes the JSON of a split, a sequence at a time.

    Ids of images and annotations count from 1. An annotation of an object has, beside COCO's entries, ``track_id``,
    ``out_of_view`` and ``occlusion`` with the benchmark's codes; an image has ``sequence`` and ``frame``; the entry
    ``sequences`` has split and flags of each sequence. An ignore region is an annotation with ``iscrowd`` 1; it stands
    for every class and has the first one's id because COCO wants one. Masks are the boxes' rectangles.

    Args:
        file: Text file to write.
        classes: Names of the classes: one stands for all, three are those of the benchmark.
        info: Entries of COCO's ``info``.
    """

    def __init__(self, file: TextIO, classes: Sequence[str], info: dict) -> None:
        self.file = file
        self.classes = classes
        self.counts = SplitCounts(len(classes))
        self._images: list[dict] = []
        self._sequences: dict[str, dict] = {}
        self._num_annotations = 0
        categories = [dict(id=i, name=name, supercategory='vehicle') for i, name in enumerate(classes, start=1)]
        file.write(f'{{"info":{json.dumps(info)},"categories":{json.dumps(categories)},"annotations":[')

    def add(self, frames: UAVDTFrames) -> None:
        """Write the annotations of a sequence."""
        categories = frames.boxes[:, _COLUMN['category']].astype(int)
        category_ids = categories if len(self.classes) > 1 else np.ones_like(categories)
        self.counts.add(frames, category_ids)
        first_image_id = len(self._images) + 1
        self._images += coco_images(frames, first_image_id)
        self._sequences[frames.sequence.name] = dict(split=frames.sequence.split, attributes=frames.sequence.attributes)
        annotations = coco_annotations(frames, category_ids, first_image_id, self._num_annotations + 1)
        if annotations:
            separator = ',\n' if self._num_annotations else '\n'
            self.file.write(separator + json.dumps(annotations, separators=(',', ':'))[1:-1])
        self._num_annotations += len(annotations)

    def finish(self) -> None:
        """Write what follows the annotations."""
        images, sequences = (json.dumps(part, separators=(',', ':')) for part in (self._images, self._sequences))
        self.file.write(f'],\n"images":{images},\n"sequences":{sequences}}}\n')
        self.file.flush()


def coco_images(frames: UAVDTFrames, first_id: int) -> list[dict]:
    """Return COCO's entries of a sequence's images, with ids from ``first_id`` on."""
    rows = zip(frames.files, frames.sizes.tolist(), frames.numbers.tolist(), strict=True)
    return [
        dict(id=i, file_name=name, width=width, height=height, sequence=frames.sequence.name, frame=number)
        for i, (name, (width, height), number) in enumerate(rows, start=first_id)
    ]


def coco_annotations(frames: UAVDTFrames, category_ids: np.ndarray, first_image_id: int, first_id: int) -> list[dict]:
    """Return COCO's annotations of a sequence: its objects, then its ignore regions.

    Args:
        frames: The sequence.
        category_ids: COCO's category of each object (N,).
        first_image_id: Id of the sequence's first image.
        first_id: Id of the first annotation.
    """
    boxes, regions = frames.boxes, frames.regions
    common = np.concatenate([boxes[:, : regions.shape[1]], regions])
    image_ids = first_image_id + np.searchsorted(frames.numbers, common[:, 0])
    coordinates = common[:, 2:]
    whole = (coordinates == np.floor(coordinates)).all()
    coordinates = coordinates.astype(np.int64 if whole else np.float64).tolist()
    crowd = [0] * len(boxes) + [1] * len(regions)
    category_ids = [*category_ids.tolist(), *[1] * len(regions)]
    track_ids = common[:, 1].astype(int).tolist()
    rows = zip(image_ids.tolist(), coordinates, category_ids, track_ids, crowd, strict=True)
    annotations = [
        dict(
            id=i,
            image_id=image_id,
            category_id=category_id,
            bbox=box,
            area=box[2] * box[3],
            iscrowd=iscrowd,
            segmentation=[rectangle(*box)],
            track_id=track_id,
        )
        for i, (image_id, box, category_id, track_id, iscrowd) in enumerate(rows, start=first_id)
    ]
    for name in ('out_of_view', 'occlusion'):
        for annotation, code in zip(annotations, boxes[:, _COLUMN[name]].astype(int).tolist(), strict=False):
            annotation[name] = code
    return annotations


def rectangle(left: float, top: float, width: float, height: float) -> list[float]:
    """Return a box as COCO's polygon, clockwise from its upper left corner."""
    return [left, top, left + width, top, left + width, top + height, left, top + height]


def format_counts(counts: dict[str, SplitCounts], classes: Sequence[str]) -> str:
    """Return a table of what was converted, by split and class, and a line about what was left out."""
    lines = [f'{"split":8}{"class":10}{"frames":>10}{"boxes":>10}{"ignore regions":>17}']
    for split, count in counts.items():
        lines.append(f'{split:8}{"all":10}{count.frames:10}{count.boxes.sum():10}{count.regions:17}')
        if len(classes) > 1:
            rows = zip(classes, count.frames_with, count.boxes, strict=True)
            lines += [f'{"":8}{name:10}{num_frames:10}{num_boxes:10}' for name, num_frames, num_boxes in rows]
    boxes, regions = sum(count.outside for count in counts.values())
    if boxes or regions:
        lines.append(f'left out, being outside their image: {boxes} boxes, {regions} ignore regions')
    return '\n'.join(lines)
