"""The metric of UAVDT's detection task: COCO's averages, the benchmark's own, and tables by class and attribute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from .annotations import ATTRIBUTES, OCCLUSIONS
from .ap import Objects, area_under_curve, interpolated_ap, match, precision_recall
from .ignore_regions import covered_share
from .truth import FrameTruth, read_truth

THRESHOLDS = np.linspace(0.5, 0.95, 10)
BENCHMARK_THRESHOLD = 0.7
_AT = {name: int(np.abs(THRESHOLDS - value).argmin()) for name, value in (('50', 0.5), ('70', 0.7), ('75', 0.75))}
_ANY_AREA = (0.0, 1e10)
_AREAS = {'small': (0.0, 32.0**2), 'medium': (32.0**2, 96.0**2), 'large': (96.0**2, 1e10)}
QUESTIONS = ('all', *_AREAS, *(f'occlusion_{name}' for name in OCCLUSIONS.values()))
"""What is asked of every class: all objects, those of a size, those of an occlusion."""
_QUESTION_AREAS = np.array([_ANY_AREA, *_AREAS.values(), *[_ANY_AREA] * len(OCCLUSIONS)])
_SHOWN_ATTRIBUTES = ATTRIBUTES[:-1]  # long-term is about tracking


@METRICS.register_module()
class UAVDTMetric(BaseMetric):
    """Average precision on UAVDT, with detections in its ignore regions left out of the count.

    A detection that matches no object and of whose area more than ``max_covered`` lies in ignore regions is neither
    right nor wrong. What is computed, all from 0 to 1, and -1 where there is no object to find:

    - ``AP``, ``AP50``, ``AP75``, ``AP_small``, ``AP_medium``, ``AP_large``: as COCO's, means over the classes;
    - ``AP70``: the same at the benchmark's threshold, an intersection over union of 0.7;
    - ``benchmark_AP70``: as the benchmark's toolkit computes it: all classes as one, area under the whole curve;
    - ``car_AP``, ``car_AP50``, ``car_AP70`` and so on for each class;
    - ``night_AP``, ``night_AP70`` and so on for the sequences with an attribute, and ``occlusion_large_AP`` and so on
      for the objects of an occlusion; the other objects may then be found or missed, false positives count fully.

    The toolkit leaves out detections strictly within one region and objects in regions stay wanted; here one rule
    serves all numbers.

    Args:
        ann_file: File of the split that ``tools/dataset_converters/uavdt2coco.py`` wrote.
        max_covered: Greatest share of an unmatched detection in ignore regions, 0 to 1, with which it counts.
        max_detections: Number of detections of a class in a frame that count, best first. COCO's 100 are too few for
            a perfect detector where a frame has more vehicles.
        collect_device: As of ``BaseMetric``.
        prefix: As of ``BaseMetric``.
    """

    default_prefix = 'uavdt'

    def __init__(
        self,
        ann_file: str,
        max_covered: float = 0.5,
        max_detections: int = 500,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ann_file = ann_file
        self.truth = read_truth(ann_file)
        self.max_covered = max_covered
        self.max_detections = max_detections

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Match the detections of a batch.

        Args:
            data_batch: Not used.
            data_samples: One dict a frame: ``img_id`` and ``pred_instances`` with ``bboxes`` (N, 4), corners in
                pixels of the original picture, ``scores`` (N,) and ``labels`` (N,).

        Raises:
            ValueError: If a frame is not in the annotation file, or the classes of the data set are not the file's.
        """
        self._check_classes()
        for sample in data_samples:
            frame = self.truth.frames.get(sample['img_id'])
            if frame is None:
                raise ValueError(f'{self.ann_file} has no picture {sample["img_id"]}: is it the split that is tested?')
            instances = sample['pred_instances']
            boxes, scores, labels = (
                torch.as_tensor(instances[name]).detach().double().cpu() for name in ('bboxes', 'scores', 'labels')
            )
            in_regions = covered_share(boxes, _corners(frame.regions)) > self.max_covered
            boxes = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
            found = (values.numpy() for values in (boxes, scores, labels, in_regions))
            result = self._match_frame(frame, *found)
            self.results.append(dict(img_id=sample['img_id'], **result))

    def _check_classes(self) -> None:
        names = tuple(self.dataset_meta['classes'])
        if names != self.truth.classes:
            raise ValueError(
                f'{self.ann_file} has the classes {", ".join(self.truth.classes)}, the data set {", ".join(names)}: '
                'give it all of them in this order (metainfo), or convert with the same --classes'
            )

    def _match_frame(
        self, frame: FrameTruth, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, in_regions: np.ndarray
    ) -> dict:
        """Match the detections of a frame (N rows each), class by class and then regardless of the class."""
        best_first = np.argsort(-scores, kind='stable')
        per_class = []
        for index in range(len(self.truth.classes)):
            kept = best_first[classes[best_first] == index][: self.max_detections]
            objects = _ask(frame, frame.classes == index)
            status = match(boxes[kept], in_regions[kept], objects, THRESHOLDS)
            per_class.append((scores[kept], status, objects.wanted.sum(1)))
        kept = best_first[: self.max_detections]
        anything = Objects(frame.boxes, np.ones((1, len(frame.boxes)), bool), np.array([_ANY_AREA]))
        status = match(boxes[kept], in_regions[kept], anything, np.array([BENCHMARK_THRESHOLD]))
        return dict(per_class=per_class, any_class=(scores[kept], status[0], len(frame.boxes)))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Accumulate the frames, log the tables and return the numbers."""
        if not results:
            raise ValueError('no frame was tested: the data set is empty')
        # The order decides between equal scores; COCO's is by the pictures' ids.
        results = sorted(results, key=lambda result: result['img_id'])
        frames = [self.truth.frames[result['img_id']] for result in results]
        if len(frames) < len(self.truth.frames):
            print_log(f'UAVDTMetric: {len(frames)} of the {len(self.truth.frames)} frames were tested', 'current')
        classes = [_Detections(results, index) for index in range(len(self.truth.classes))]
        rows = {'all': _average(classes, 'all')}
        rows.update({name: _average([found], 'all') for name, found in zip(self.truth.classes, classes, strict=True)})
        flags = [self.truth.attributes.get(frame.sequence) or {} for frame in frames]
        for name in _SHOWN_ATTRIBUTES:
            rows[name] = _average(classes, 'all', np.array([frame_flags.get(name, False) for frame_flags in flags]))
        rows.update({name: _average(classes, name) for name in QUESTIONS[1:]})
        benchmark = _benchmark_ap([result['any_class'] for result in results])
        print_log(_format_table(rows, self.truth.classes, benchmark), 'current')
        return _numbers(rows, self.truth.classes, benchmark)


class _Detections:
    """All detections of a class, in the order of the frames."""

    def __init__(self, results: Sequence[dict], index: int) -> None:
        scores, status, num_objects = zip(*(result['per_class'][index] for result in results), strict=True)
        self.scores = np.concatenate(scores)
        self.status = np.concatenate(status, axis=-1)
        self.num_objects = np.array(num_objects)
        self.frame = np.repeat(np.arange(len(scores)), [len(part) for part in scores])


Row = dict[str, float]
"""A line of the table: ``frames``, ``objects``, ``AP``, ``AP50``, ``AP70``, ``AP75`` and ``recall70``."""


def _average(classes: Sequence[_Detections], question: str, frames: np.ndarray | None = None) -> Row:
    """Average a question over the classes that have objects, in all frames or in those marked (F,)."""
    index = QUESTIONS.index(question)
    frames = np.ones(len(classes[0].num_objects), bool) if frames is None else frames
    precisions, recalls, total = [], [], 0
    for found in classes:
        num_objects = int(found.num_objects[frames, index].sum())
        total += num_objects
        if num_objects == 0:
            continue
        shown = frames[found.frame]
        precision, recall = precision_recall(found.scores[shown], found.status[index][:, shown], num_objects)
        precisions.append(interpolated_ap(precision, recall))
        recalls.append(recall[:, -1] if recall.shape[1] else np.zeros(len(THRESHOLDS)))
    ap = np.mean(precisions, axis=0) if precisions else np.full(len(THRESHOLDS), -1.0)
    recall70 = float(np.mean(recalls, axis=0)[_AT['70']]) if recalls else -1.0
    at = {f'AP{name}': float(ap[position]) for name, position in _AT.items()}
    return dict(frames=int(frames.sum()), objects=total, AP=float(ap.mean()), **at, recall70=recall70)


def _benchmark_ap(parts: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> float:
    """Return the toolkit's number from scores, status and number of objects of each frame."""
    scores, status, num_objects = zip(*parts, strict=True)
    if not sum(num_objects):
        return -1.0
    curve = precision_recall(np.concatenate(scores), np.concatenate(status, axis=-1), sum(num_objects))
    return float(area_under_curve(*curve)[0])


def _ask(frame: FrameTruth, of_class: np.ndarray) -> Objects:
    """Return the objects (G,) of a class, and which of them each of the questions is about."""
    boxes, occlusions = frame.boxes[of_class], frame.occlusions[of_class]
    areas = boxes[:, 2] * boxes[:, 3]
    wanted = [(low <= areas) & (areas <= high) for low, high in (_ANY_AREA, *_AREAS.values())]
    wanted += [occlusions == code for code in OCCLUSIONS]
    return Objects(boxes, np.array(wanted), _QUESTION_AREAS)


def _corners(boxes: np.ndarray) -> torch.Tensor:
    """Return boxes (N, 4), left, top, width, height, as corners."""
    return torch.from_numpy(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))


def _numbers(rows: dict[str, Row], classes: Sequence[str], benchmark: float) -> dict[str, float]:
    """Return the metric's numbers by name."""
    numbers = {name: rows['all'][name] for name in ('AP', 'AP50', 'AP75')}
    numbers.update({f'AP_{size}': rows[size]['AP'] for size in _AREAS})
    numbers.update({'AP70': rows['all']['AP70'], 'benchmark_AP70': benchmark})
    for name, row in rows.items():
        columns = ('AP', 'AP50', 'AP70') if name in classes else ('AP', 'AP70')
        if name != 'all' and name not in _AREAS:
            numbers.update({f'{name}_{column}': row[column] for column in columns})
    return numbers


def _format_table(rows: dict[str, Row], classes: Sequence[str], benchmark: float) -> str:
    """Return the rows that have objects as a table, with a line between groups."""
    columns = ('AP', 'AP50', 'AP75', 'AP70', 'recall70')
    head = f'{"":20}{"frames":>8}{"objects":>9}' + ''.join(f'{column:>10}' for column in columns)
    groups = (('all', *classes), tuple(_AREAS), _SHOWN_ATTRIBUTES[:3], _SHOWN_ATTRIBUTES[3:6], _SHOWN_ATTRIBUTES[6:])
    occlusions = tuple(name for name in rows if name.startswith('occlusion_'))
    lines = ['UAVDT', head]
    for group in (*groups, occlusions):
        shown = [name for name in group if rows[name]['objects']]
        lines += ['-' * len(head)] * bool(shown)
        for name in shown:
            values = ''.join(f'{rows[name][column]:10.3f}' for column in columns)
            lines.append(f'{name:20}{rows[name]["frames"]:8}{rows[name]["objects"]:9}{values}')
    lines += ['-' * len(head), f'benchmark AP at 0.7 (all classes as one, area under the curve): {benchmark:.3f}']
    return '\n'.join(lines)
