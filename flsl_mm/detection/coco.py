"""COCO-style data and its metric with plain errors; ``custom_imports`` names this module (it needs mmdet)."""

from __future__ import annotations

import contextlib
import io
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmengine.logging import MMLogger, print_log
from mmengine.registry import DATASETS, METRICS

from flsl_mm.datasets.skipped import SkippedLog
from flsl_mm.engine.model_check import check_names
from flsl_mm.utils.console import LogText
from flsl_mm.utils.fileio import printable
from flsl_mm.utils.terminal import printable_lines

from .annotation_check import BOXES_ONLY, check_annotations, check_plausible
from .annotations import Annotations, read_annotations, shorten
from .image_check import MAX_HEADERS, describe, find_problems, image_problem, pixels_problem


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


def index_annotations(found: Annotations) -> COCO:
    """Make mmdet's COCO of annotations that were read, which are numbered anew, from 1."""
    # pycocotools takes an object with the id 0 for one that was not found, and text for no id at all.
    for number, annotation in enumerate(found.content['annotations'], 1):
        annotation['id'] = number
    coco = COCO()
    coco.dataset = found.content
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
            f'{path} has {len(found)} categories ({shorten(found)}), the dataset expects {len(classes)}, '
            f'among them {shorten(missing)}: set metainfo=dict(classes=(...)) of the dataset, and num_classes of the '
            'heads'
        )
    listed = [name for name in found if name in classes]
    for where, names in ((path, listed), ('metainfo of the dataset', classes)):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f'{where} has {shorten(twice)} more than once: give each category its own name')
    if listed != list(classes):
        raise ValueError(
            f'{path} has its categories in the order {shorten(listed, len(listed))}, the dataset its classes in '
            f'another: labels follow the file, so set metainfo=dict(classes=({shorten(listed, len(listed))}))'
        )


@DATASETS.register_module()
class FLSLCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` that says what is wrong with annotations and images, and can take some frames of clips.

    ``CocoDataset`` ignores class names that the annotation file does not have and trains on what is left, and gives
    labels the wrong names where the order of the classes is not that of the file; here both are errors. What it leaves
    out is counted, see :func:`~flsl_mm.detection.annotation_check.check_annotations`.

    Images that are missing, damaged or not of the annotations' size are an error in testing. In training they are left
    out and reported: all missing ones at the start, others there
    (see :func:`~flsl_mm.detection.image_check.find_problems`) or when they are drawn, where another image takes their
    place. Where :attr:`skipped_log` is set they are listed in that file, as in pretraining.

    Args:
        *args: As of ``CocoDataset``.
        frames: Slice (start, stop) of the images of every folder, see :func:`select_frames`; None takes all.
        **kwargs: As of ``CocoDataset``.

    Attributes:
        skipped_log: File that lists the images that are left out, or None. To be set before workers start.

    Raises:
        FileNotFoundError: If the annotation file, or most images, are missing.
        ValueError: If the file is not COCO's JSON, does not fit the classes (:func:`check_categories`) or the images,
            or teaches nothing.
    """

    def __init__(self, *args, frames: tuple[int | None, int | None] | None = None, **kwargs) -> None:
        self.frames = frames
        self._skipped: dict[str, str] = {}
        self._skipped_log: Path | None = None
        self._log: SkippedLog | None = None
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load and check annotations and images, and keep the chosen frames."""
        if not Path(self.ann_file).is_file():
            raise FileNotFoundError(
                f'no annotation file {self.ann_file!r}: set data_root and ann_file of train_dataloader.dataset (or of '
                'val_dataloader.dataset, test_dataloader.dataset)'
            )
        data_list = super().load_data_list()
        if self.frames is not None:
            kept = select_frames([item['img_path'] for item in data_list], *self.frames)
            data_list = [data_list[index] for index in kept]
        # Without a pipeline no image is read, and elsewhere than in files they are not looked for.
        return self._check_images(data_list) if self.pipeline.transforms and not self.backend_args else data_list

    def _check_images(self, data_list: list[dict]) -> list[dict]:
        problems = find_problems(data_list)
        missing = [index for index, problem in problems.items() if problem == 'is missing']
        resized = [index for index, problem in problems.items() if 'in the annotations' in problem]
        of_all = f'of {len(data_list):,} images of {self.ann_file}'
        most = len(data_list) if self.test_mode else 0
        if len(missing) + most > len(data_list) / 2 and missing:
            raise FileNotFoundError(
                f'{len(missing):,} {of_all} are missing, {data_list[missing[0]]["img_path"]} for one: set data_prefix '
                'to the folder that its file names are relative to, or take them out of the file'
            )
        looked_at = min(len(data_list), MAX_HEADERS)
        if problems and (len(problems) + most > looked_at / 2 or len(resized) > 0.1 * looked_at):
            raise ValueError(
                f'{len(problems):,} {of_all} cannot be used, {describe(data_list, problems, most=1)}: take the '
                'images that were annotated, or take these out of the file'
            )
        for index, problem in problems.items():
            self._skipped[data_list[index]['img_path']] = problem
        if problems:
            line = f'{len(problems):,} {of_all} are left out: {describe(data_list, problems)}'
            print_log(printable(line), logger='current', level=logging.WARNING)
        return [item for index, item in enumerate(data_list) if index not in problems]

    def filter_data(self) -> list[dict]:
        """Filter as ``CocoDataset`` does, and leave something."""
        kept = super().filter_data()
        if not kept:
            raise ValueError(
                f'none of the {len(self.data_list):,} images of {self.ann_file} is left after '
                f'filter_cfg={self.filter_cfg}: they are too small, or have no object of the classes'
            )
        return kept

    @property
    def skipped_log(self) -> Path | None:
        """File that lists the images that are left out."""
        return self._skipped_log

    @skipped_log.setter
    def skipped_log(self, path: Path | None) -> None:
        self._skipped_log = path
        self._log = None if path is None else SkippedLog(path)
        for image, problem in self._skipped.items():
            if self._log is not None:
                self._log.add(image, problem)

    def prepare_data(self, idx: int) -> dict | None:
        """Read an image and what is on it; no pipe or device is waited for, and no image fills the memory.

        Returns:
            The item; None in training for an image that cannot be used, so that another is drawn.
        """
        info = self.get_data_info(idx)
        problem = image_problem(info)
        if problem is None:
            try:
                return super().prepare_data(idx)
            except Exception as error:
                unread = str(error) if str(error).startswith('failed to load image') else None
                problem = pixels_problem(info['img_path']) or unread
                if problem is None:
                    raise
        if self.test_mode:
            raise ValueError(f'image {info["img_path"]} {problem}')
        self._report(info['img_path'], problem)
        return None

    def _report(self, path: str, problem: str) -> None:
        if path in self._skipped:
            return
        self._skipped[path] = problem
        if self._log is None or self._log.add(path, printable(problem)):
            print_log(printable(f'skipped {path}: it {problem}'), logger='current', level=logging.WARNING)

    def COCOAPI(self, path: str) -> COCO:  # the name is mmdet's
        """Read the annotation file and check what is in it."""
        classes = self.metainfo['classes']
        check_names(classes)
        found = read_annotations(path)
        names = {category['id']: category['name'] for category in found.content['categories']}
        check_categories(self.ann_file, list(names.values()), classes)
        if self.test_mode:
            check_plausible(found)
        else:
            masks = any(getattr(transform, 'with_mask', False) for transform in self.pipeline.transforms)
            check_annotations(found, classes, needs_outlines=masks)
        unused = [names.get(entry['category_id'], classes[0]) not in classes for entry in found.content['annotations']]
        if any(unused):
            others = [name for name in names.values() if name not in classes]
            line = f'{path}: {sum(unused):,} boxes of {shorten(others)} are left out, not among the classes given'
            print_log(line, logger='current', level=logging.WARNING)
        return index_annotations(found)


@METRICS.register_module()
class FLSLCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric`` that reads its annotation file as :class:`FLSLCocoDataset` does, and checks it.

    What pycocotools prints goes to the log file; :class:`~flsl_mm.engine.log_processor.FLSLLogProcessor` shows a table.

    Args:
        ann_file: Annotation file; None takes the truth from the items.
        **options: As of ``CocoMetric``.

    Raises:
        ValueError: If it is not a COCO annotation file, or masks are evaluated and an object has no outline.
    """

    def __init__(self, ann_file: str | None = None, **options) -> None:
        super().__init__(**options)
        if ann_file is None:
            return
        found = read_annotations(ann_file)
        bare = sum(not annotation.get('segmentation') for annotation in found.content['annotations'])
        if bare and 'segm' in self.metrics:
            raise ValueError(
                f'{ann_file}: {bare:,} of {len(found.boxes):,} objects have no outline (segmentation), which '
                f"metric='segm' needs: draw them, or {BOXES_ONLY}"
            )
        for annotation in found.content['annotations']:
            annotation.setdefault('iscrowd', 0)
        if options.get('sort_categories'):
            found.content['categories'].sort(key=lambda category: category['id'])
        self._coco_api = index_annotations(found)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute as ``CocoMetric`` does, and log what pycocotools prints."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            numbers = super().compute_metrics(results)
        # Not by print_log, which commands replace by one that makes plain text of it.
        MMLogger.get_current_instance().info(LogText(printable_lines(printed.getvalue()), console=''))
        return numbers
