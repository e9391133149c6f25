"""Average precision around ignore regions: COCO's evaluation with two rules more, and the area under a curve."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .truth import index_annotations

ANY_AREA = (0.0, 1e10)
EvalImgs = list[dict | None]
"""What COCO's evaluation says about a frame: an entry for each range of the first class, then of the second, ..."""


class Averages(NamedTuple):
    """Averages over frames; -1 where there is no object to find.

    Args:
        precision: Average precision (T, K, A) of each threshold, class and range, 0 to 1.
        recall: Greatest recall (T, K, A), 0 to 1.
        num_objects: Number of objects to find (K, A).
    """

    precision: np.ndarray
    recall: np.ndarray
    num_objects: np.ndarray


class UAVDTEval(COCOeval):
    """COCO's evaluation of boxes, frame by frame, with UAVDT's ignore regions and occlusions.

    A detection marked ``in_region`` that matches no object is not counted, at any threshold. COCO's own crowd regions
    ask for the threshold's share of the box, which lets a box count at 0.95 that did not at 0.5.

    Args:
        objects: Frames and annotated objects, none of them a crowd; ids count from 1.
        ranges: What to average over: least and greatest area in square pixels, and the one occlusion code whose objects
            count, or None for all. Other objects may be found or missed.
        thresholds: Intersections over union to ask for, ascending (T,).
        max_detections: Number of detections of a class in a frame that count, best first.
        any_class: Whether to take all classes as one.
    """

    def __init__(
        self,
        objects: COCO,
        ranges: Sequence[tuple[float, float, int | None]],
        thresholds: np.ndarray,
        max_detections: int,
        any_class: bool = False,
    ) -> None:
        super().__init__(objects, iouType='bbox')
        self.params.areaRng = list(ranges)
        self.params.iouThrs = thresholds
        self.params.maxDets = [max_detections]
        self.params.useCats = not any_class

    def evaluate_frame(self, image_id: int, detections: Sequence[dict]) -> EvalImgs:
        """Match the detections of a frame.

        Args:
            image_id: Id of the frame.
            detections: COCO's results, ``image_id``, ``category_id``, ``bbox``, ``area``, ``score`` and ``id`` (from 1
                on), and ``in_region``, whether the box lies mostly in ignore regions.
        """
        self.cocoDt = index_annotations(dict(images=[dict(id=image_id)], annotations=list(detections)))
        self.params.imgIds = [image_id]
        with contextlib.redirect_stdout(io.StringIO()):
            self.evaluate()
        return self.evalImgs

    def evaluateImg(self, imgId: int, catId: int, aRng: tuple, maxDet: int) -> dict | None:
        """Match the detections of a class in a frame for one of the ranges; called by ``evaluate``."""
        *_, occlusion = aRng
        for annotation in self.cocoGt.imgToAnns[imgId]:
            annotation['ignore'] = occlusion not in (None, annotation['occlusion'])
        result = super().evaluateImg(imgId, catId, aRng, maxDet)
        if result is None:
            return None
        in_region = np.array([self.cocoDt.anns[i]['in_region'] for i in result['dtIds']], bool)
        matched = result['dtMatches'] > 0
        # Only what `accumulate` asks for, so that a whole split fits into memory.
        return dict(
            dtScores=np.array(result['dtScores']),
            dtMatches=matched,
            dtIgnore=result['dtIgnore'] | (in_region & ~matched),
            gtIgnore=result['gtIgnore'],
        )

    def average(self, frames: Sequence[EvalImgs], num_ranges: int | None = None) -> Averages:
        """Average the precision over frames, all or some of those that were evaluated.

        Args:
            frames: Of each frame what ``evaluate_frame`` returned, in the order of the ids.
            num_ranges: How many of the ranges to average, from the first on; by default all.
        """
        params = copy.copy(self.params)
        params.imgIds, params.areaRng = list(range(len(frames))), self.params.areaRng[:num_ranges]
        num_classes, per_class = len(params.catIds) if params.useCats else 1, len(self.params.areaRng)
        cells = [per_class * row + column for row in range(num_classes) for column in range(len(params.areaRng))]
        by_cell = [[frame[cell] for frame in frames] for cell in cells]
        self.evalImgs, self._paramsEval = [entry for entries in by_cell for entry in entries], params
        with contextlib.redirect_stdout(io.StringIO()):
            self.accumulate(params)
        num_objects = np.array([count_objects(entries) for entries in by_cell]).reshape(num_classes, -1)
        return Averages(self.eval['precision'][..., 0].mean(axis=1), self.eval['recall'][..., 0], num_objects)


def count_objects(eval_imgs: EvalImgs) -> int:
    """Return how many objects there are to find."""
    return sum(int((entry['gtIgnore'] == 0).sum()) for entry in eval_imgs if entry is not None)


def area_under_curve(eval_imgs: EvalImgs) -> float:
    """Return PASCAL VOC's average precision since 2010: the area under precision over recall, at the first threshold.

    Args:
        eval_imgs: Entries of all frames for one class and range.

    Returns:
        0 to 1; -1 where there is no object to find.
    """
    entries, num_objects = [entry for entry in eval_imgs if entry is not None], count_objects(eval_imgs)
    if not num_objects:
        return -1.0
    ranks = np.argsort(-np.concatenate([entry['dtScores'] for entry in entries]), kind='stable')
    matched, ignored = (
        np.concatenate([entry[key][0] for entry in entries])[ranks] for key in ('dtMatches', 'dtIgnore')
    )
    found = matched & ~ignored
    precision = np.cumsum(found) / np.maximum(np.cumsum(~ignored), 1)
    highest_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(highest_from_here[found].sum() / num_objects)
