"""COCO-style data with plain errors; ``custom_imports`` names this module (it needs mmdet)."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from flsl_mm.datasets.image_file import open_image
from flsl_mm.engine.model_check import check_names

from .entries import check_entries
from .shapes import check_shapes


def select_frames(file_names: Sequence[str], start: int | None, stop: int | None) -> list[int]:
    """Choose images by their position among the images of the same folder, sorted by name.

    Args:
        file_names: Paths of all images.
        start: First position, as in a Python slice: None from the beginning, negative from the end.
        stop: Position after the last one, likewise.

    Returns:
        Indices into ``file_names``, ascending.
    """
    folders = defaultdict(list)
    for index in sorted(range(len(file_names)), key=lambda index: file_names[index]):
        folders[Path(file_names[index]).parent].append(index)
    return sorted(index for members in folders.values() for index in members[start:stop])


def read_coco(path: str) -> COCO:
    """Read a COCO annotation file.

    Raises:
        ValueError: If the file is anything else, an entry lacks what mmdet reads of it, or a mask or box in it is none,
            see :func:`~flsl_mm.detection.shapes.check_shapes`.
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        if not isinstance(content, dict):
            raise ValueError(f'it holds a {type(content).__name__}')
        check_entries(content)
        check_shapes(content)
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is not a COCO annotation file: {error}') from error
    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs  # mmdet's names for them
    return coco


def check_categories(path: str, found: Sequence[str], classes: Sequence[str]) -> None:
    """Compare the categories of an annotation file with the classes of a data set.

    ``CocoDataset`` numbers its labels in the order of the file, and names them in the order of the classes.

    Args:
        path: The file, for the message.
        found: Names of its categories, in its order.
        classes: Names of the classes; they may be a part of the categories.

    Raises:
        ValueError: If a class is missing, is there twice, or the order differs.
    """
    missing = [name for name in classes if name not in found]
    if missing:
        raise ValueError(
            f'{path} has {len(found)} categories ({_shorten(found)}), the dataset expects {len(classes)}, '
            f'among them {_shorten(missing)}: set metainfo=dict(classes=(...)) of the dataset, and num_classes of the '
            'heads'
        )
    listed = [name for name in found if name in classes]
    for where, names in ((path, listed), ('metainfo of the dataset', classes)):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f'{where} has {_shorten(twice)} more than once: give each category its own name')
    if listed != list(classes):
        raise ValueError(
            f'{path} has its categories in the order {_shorten(listed, len(listed))}, the dataset its classes in '
            f'another: labels follow the file, so set metainfo=dict(classes=({_shorten(listed, len(listed))}))'
        )


@DATASETS.register_module()
class FLSLCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` that says what is wrong with its annotations, and can take some frames of every clip.

    ``CocoDataset`` ignores class names that the annotation file does not have and trains on what is left, and gives
    labels the wrong names where the order of the classes is not that of the file; here both are errors.

    Args:
        *args: As of ``CocoDataset``.
        frames: Slice (start, stop) of the images of every folder, see :func:`select_frames`; None takes all.
        **kwargs: As of ``CocoDataset``.

    Raises:
        FileNotFoundError: If the annotation file is missing.
        ValueError: If it is not COCO's JSON, or does not fit the classes, see :func:`check_categories`.
    """

    def __init__(self, *args, frames: tuple[int | None, int | None] | None = None, **kwargs) -> None:
        self.frames = frames
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load and check the annotations, and keep the chosen frames."""
        if not Path(self.ann_file).is_file():
            raise FileNotFoundError(f'no annotation file {self.ann_file!r}: set data_root and ann_file of the dataset')
        data_list = super().load_data_list()
        if self.frames is None:
            return data_list
        kept = select_frames([item['img_path'] for item in data_list], *self.frames)
        return [data_list[index] for index in kept]

    def prepare_data(self, idx: int) -> dict | None:
        """Read an image and what is on it; no pipe or device is waited for, and no image fills the memory."""
        with open_image(self.get_data_info(idx)['img_path']):
            return super().prepare_data(idx)

    def COCOAPI(self, path: str) -> COCO:  # the name is mmdet's
        """Read the annotation file and check its categories."""
        check_names(self.metainfo['classes'])
        coco = read_coco(path)
        found = [category['name'] for category in coco.dataset['categories']]
        check_categories(self.ann_file, found, self.metainfo['classes'])
        classes = self.metainfo['classes']
        unused = {entry['id']: entry['name'] for entry in coco.dataset['categories'] if entry['name'] not in classes}
        if unused:
            boxes = sum(entry['category_id'] in unused for entry in coco.dataset['annotations'])
            line = f'{path}: {boxes} boxes of {_shorten([*unused.values()])} are left out, not among the classes given'
            print_log(line, logger='current', level=logging.WARNING)
        return coco


def _shorten(names: Sequence[str], most: int = 5) -> str:
    """Join the first few names."""
    return ', '.join(map(repr, names[:most])) + (', ...' if len(names) > most else '')
