"""COCO-style data with plain errors; ``custom_imports`` names this module (it needs mmdet)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.registry import DATASETS


def select_frames(file_names: Sequence[str], start: int | None, stop: int | None) -> list[int]:
    """Choose pictures by their position among the pictures of the same folder, sorted by name.

    Args:
        file_names: Paths of all pictures.
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
        ValueError: If the file is anything else.
    """
    parts = {'images', 'annotations', 'categories'}
    try:
        coco = COCO(path)
        missing = parts - set(coco.dataset)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is not a COCO annotation file: {error}') from error
    if missing:
        raise ValueError(f'{path} is not a COCO annotation file: it lacks {", ".join(sorted(missing))}')
    return coco


@DATASETS.register_module()
class FLSLCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` that says what is wrong with its annotations, and can take some frames of every clip.

    ``CocoDataset`` ignores class names that the annotation file does not have and trains on what is left; here that is
    an error.

    Args:
        *args: As of ``CocoDataset``.
        frames: Slice (start, stop) of the pictures of every folder, see :func:`select_frames`; None takes all.
        **kwargs: As of ``CocoDataset``.

    Raises:
        FileNotFoundError: If the annotation file is missing.
        ValueError: If it is not COCO's JSON or lacks one of the classes.
    """

    COCOAPI = staticmethod(read_coco)

    def __init__(self, *args, frames: tuple[int | None, int | None] | None = None, **kwargs) -> None:
        self.frames = frames
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load and check the annotations, and keep the chosen frames."""
        if not Path(self.ann_file).is_file():
            raise FileNotFoundError(f'no annotation file {self.ann_file!r}: set data_root and ann_file of the dataset')
        data_list = super().load_data_list()
        self._check_categories()
        if self.frames is None:
            return data_list
        kept = select_frames([item['img_path'] for item in data_list], *self.frames)
        return [data_list[index] for index in kept]

    def _check_categories(self) -> None:
        classes = self.metainfo['classes']
        if len(self.cat_ids) == len(classes):
            return
        found = [category['name'] for category in json.loads(Path(self.ann_file).read_text())['categories']]
        missing = [name for name in classes if name not in found]
        raise ValueError(
            f'{self.ann_file} has {len(found)} categories ({_shorten(found)}), the dataset expects {len(classes)}, '
            f'among them {_shorten(missing)}: set metainfo=dict(classes=(...)) of the dataset, and num_classes of the '
            'heads'
        )


def _shorten(names: Sequence[str], most: int = 5) -> str:
    """Join the first few names."""
    return ', '.join(map(repr, names[:most])) + (', ...' if len(names) > most else '')
