"""The metric of UAVDT's detection task: COCO's averages, the benchmark's own, and tables by class and attribute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from .annotations import ATTRIBUTES, OCCLUSIONS
from .ap import ANY_AREA, Averages, UAVDTEval, area_under_curve
from .ignore_regions import covered_share
from .truth import read_truth

THRESHOLDS = np.linspace(0.5, 0.95, 10)
BENCHMARK_THRESHOLD = 0.7
_AT = {name: int(np.abs(THRESHOLDS - value).argmin()) for name, value in (('50', 0.5), ('70', 0.7), ('75', 0.75))}
_SIZES = {'small': (0.0, 32.0**2), 'medium': (32.0**2, 96.0**2), 'large': (96.0**2, 1e10)}
RANGES = {
    'all': (*ANY_AREA, None),
    **{name: (*areas, None) for name, areas in _SIZES.items()},
    **{f'occlusion_{name}': (*ANY_AREA, code) for code, name in OCCLUSIONS.items()},
}
"""What is averaged over: all objects, those of a size, those of an occlusion."""
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
        ann_file: File of the split that ``flsl-mm uavdt2coco`` wrote.
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
        self.max_covered = max_covered
        self.truth = read_truth(ann_file)
        objects = self.truth.objects
        self.per_class = UAVDTEval(objects, tuple(RANGES.values()), THRESHOLDS, max_detections)
        benchmark = np.array([BENCHMARK_THRESHOLD])
        self.any_class = UAVDTEval(objects, (RANGES['all'],), benchmark, max_detections, any_class=True)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Match the detections of a batch.

        Args:
            data_batch: Not used.
            data_samples: One dict a frame: ``img_id`` and ``pred_instances`` with ``bboxes`` (N, 4), corners in
                pixels of the original image, ``scores`` (N,) and ``labels`` (N,).

        Raises:
            ValueError: If a frame is not in the annotation file, or the classes of the data set are not the file's.
        """
        self._check_classes()
        for sample in data_samples:
            image_id = sample['img_id']
            if image_id not in self.truth.regions:
                raise ValueError(f'{self.ann_file} has no image {image_id}: is it the split that is tested?')
            detections = self._detections(image_id, sample['pred_instances'])
            per_class, any_class = (
                evaluation.evaluate_frame(image_id, detections) for evaluation in (self.per_class, self.any_class)
            )
            self.results.append(dict(img_id=image_id, per_class=per_class, any_class=any_class))

    def _check_classes(self) -> None:
        names = tuple(self.dataset_meta['classes'])
        if names != self.truth.classes:
            raise ValueError(
                f'{self.ann_file} has the classes {", ".join(self.truth.classes)}, the data set {", ".join(names)}: '
                'give it all of them in this order (metainfo), or convert with the same --classes'
            )

    def _detections(self, image_id: int, instances: dict) -> list[dict]:
        """Return a frame's detections as COCO's results, each with whether it lies mostly in ignore regions."""
        boxes, scores, labels = (torch.as_tensor(instances[name]).cpu() for name in ('bboxes', 'scores', 'labels'))
        boxes = boxes.double()
        in_region = covered_share(boxes, self.truth.regions[image_id]) > self.max_covered
        sizes = boxes[:, 2:] - boxes[:, :2]
        columns = (torch.cat([boxes[:, :2], sizes], dim=1), sizes.prod(dim=1), scores.double(), labels, in_region)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        categories = self.per_class.params.catIds
        return [
            dict(id=i, image_id=image_id, category_id=categories[c], bbox=box, area=area, score=score, in_region=inside)
            for i, (box, area, score, c, inside) in enumerate(rows, start=1)
        ]

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Accumulate the frames, log the tables and return the numbers."""
        if not results:
            raise ValueError('no frame was tested: the data set is empty')
        # The order decides between equal scores; COCO's is by the images' ids.
        results = sorted(results, key=lambda result: result['img_id'])
        if len(results) < len(self.truth.regions):
            print_log(f'UAVDTMetric: {len(results)} of the {len(self.truth.regions)} frames were tested', 'current')
        everything = self.per_class.average([result['per_class'] for result in results])
        rows = {name: _average(everything, len(results), index) for index, name in enumerate(RANGES)}
        for index, name in enumerate(self.truth.classes):
            rows[name] = _average(everything, len(results), classes=[index])
        for name in _SHOWN_ATTRIBUTES:
            shown = [r['per_class'] for r in results if r['img_id'] in self.truth.attributes[name]]
            rows[name] = _average(self.per_class.average(shown, num_ranges=1), len(shown))
        benchmark = area_under_curve([result['any_class'][0] for result in results])
        print_log(_format_table(rows, self.truth.classes, benchmark), 'current')
        return _numbers(rows, self.truth.classes, benchmark)


Row = dict[str, float]
"""A line of the table: ``frames``, ``objects``, ``AP``, ``AP50``, ``AP70``, ``AP75`` and ``recall70``."""


def _average(averages: Averages, num_frames: int, index: int = 0, classes: Sequence[int] | None = None) -> Row:
    """Average one of the ranges over the classes that have objects, of all or of some classes."""
    num_objects = averages.num_objects[:, index]
    counted = num_objects > 0 if classes is None else np.array(classes)
    ap, recall = np.full((2, len(THRESHOLDS)), -1.0)
    if num_objects[counted].any():
        ap, recall = (values[:, counted, index].mean(axis=1) for values in (averages.precision, averages.recall))
    at = {f'AP{name}': float(ap[position]) for name, position in _AT.items()}
    recall70 = float(recall[_AT['70']])
    return dict(
        frames=num_frames, objects=int(num_objects[counted].sum()), AP=float(ap.mean()), **at, recall70=recall70
    )


def _numbers(rows: dict[str, Row], classes: Sequence[str], benchmark: float) -> dict[str, float]:
    """Return the metric's numbers by name."""
    numbers = {name: rows['all'][name] for name in ('AP', 'AP50', 'AP75')}
    numbers.update({f'AP_{size}': rows[size]['AP'] for size in _SIZES})
    numbers.update({'AP70': rows['all']['AP70'], 'benchmark_AP70': benchmark})
    for name, row in rows.items():
        columns = ('AP', 'AP50', 'AP70') if name in classes else ('AP', 'AP70')
        if name != 'all' and name not in _SIZES:
            numbers.update({f'{name}_{column}': row[column] for column in columns})
    return numbers


def _format_table(rows: dict[str, Row], classes: Sequence[str], benchmark: float) -> str:
    """Return the rows that have objects as a table, with a line between groups."""
    columns = ('AP', 'AP50', 'AP75', 'AP70', 'recall70')
    head = f'{"":20}{"frames":>8}{"objects":>9}' + ''.join(f'{column:>10}' for column in columns)
    groups = (('all', *classes), tuple(_SIZES), _SHOWN_ATTRIBUTES[:3], _SHOWN_ATTRIBUTES[3:6], _SHOWN_ATTRIBUTES[6:])
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
