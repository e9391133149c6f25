"""The metric on converted trees: what ignore regions forgive, classes, sizes, attributes; and equality with COCO's."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from flsl_mm.uavdt.annotations import ATTRIBUTES
from flsl_mm.uavdt.convert import CLASSES, CocoSplitWriter, read_sequences
from flsl_mm.uavdt.layout import find_sequences
from flsl_mm.uavdt.metric import UAVDTMetric
from tests.builders.uavdt_tree import write_sequence

DAY_LOW_FRONT, NIGHT_HIGH_SIDE_BIRD = (1, 0, 0, 1, 0, 0, 1, 0, 0, 0), (0, 1, 0, 0, 0, 1, 0, 1, 1, 1)


def convert(root, classes='three'):
    path = root / 'instances.json'
    with path.open('w') as file:
        writer = CocoSplitWriter(file, CLASSES[classes], {})
        for frames in read_sequences(root, find_sequences(root), 1, 0):
            writer.add(frames)
        writer.finish()
    return path


@pytest.fixture
def ann_file(tmp_path):
    # Frame 1: a car of each size and occlusion, a truck, and a region on the right; frame 2: two cars; both by day.
    boxes = [
        (1, 1, 10, 10, 20, 20, 1, 1, 1),
        (1, 2, 10, 50, 40, 40, 1, 2, 1),
        (1, 3, 10, 100, 100, 100, 1, 3, 1),
        (1, 4, 60, 10, 20, 20, 1, 4, 2),
        (2, 1, 10, 10, 20, 20, 1, 1, 1),
        (2, 2, 60, 10, 20, 20, 1, 1, 1),
    ]
    regions = [(1, 1, 200, 0, 60, 200), (1, 2, 260, 0, 60, 200)]
    write_sequence(tmp_path, 'M0203', boxes, regions, size=(320, 200), split='test', attributes=DAY_LOW_FRONT, frames=2)
    # By night a bus, and a frame without anything.
    write_sequence(
        tmp_path,
        'M0205',
        [(1, 1, 10, 10, 60, 30, 1, 1, 3)],
        size=(320, 200),
        split='test',
        attributes=NIGHT_HIGH_SIDE_BIRD,
        frames=2,
    )
    return convert(tmp_path)


def sample(img_id, *rows):
    """Make a data sample from rows of left, top, width, height, score, label."""
    rows = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    boxes = torch.cat([rows[:, :2], rows[:, :2] + rows[:, 2:4]], dim=1)
    return dict(img_id=img_id, pred_instances=dict(bboxes=boxes, scores=rows[:, 4], labels=rows[:, 5].long()))


def evaluate(ann_file, samples, classes=('car', 'truck', 'bus'), **options):
    metric = METRICS.build(dict(type='UAVDTMetric', ann_file=str(ann_file), **options))
    metric.dataset_meta = dict(classes=classes)
    for start in range(0, len(samples), 3):
        metric.process({}, samples[start : start + 3])
    numbers = metric.evaluate(len(samples))
    return {name.removeprefix('uavdt/'): value for name, value in numbers.items()}


def perfect(ann_file):
    content = json.loads(ann_file.read_text())
    rows = {image['id']: [] for image in content['images']}
    for annotation in content['annotations']:
        if not annotation['iscrowd']:
            score = 0.9 - 0.01 * annotation['id']
            rows[annotation['image_id']].append((*annotation['bbox'], score, annotation['category_id'] - 1))
    return [sample(img_id, *found) for img_id, found in rows.items()]


def add(samples, img_id, *rows):
    """Return the samples with more detections in a frame."""
    changed = list(samples)
    more = sample(img_id, *rows)['pred_instances']
    old = changed[img_id - 1]['pred_instances']
    changed[img_id - 1] = dict(img_id=img_id, pred_instances={key: torch.cat([old[key], more[key]]) for key in more})
    return changed


def test_a_perfect_detector_scores_1_everywhere(ann_file):
    numbers = evaluate(ann_file, perfect(ann_file))
    # No sequence is foggy, of medium altitude; every other number has something to find.
    absent = {name for name, value in numbers.items() if value == -1}
    assert absent == {f'{name}_{kind}' for name in ('fog', 'medium_altitude') for kind in ('AP', 'AP70')}
    assert all(numbers[name] == pytest.approx(1) for name in numbers.keys() - absent)
    assert {'AP', 'AP50', 'AP75', 'AP70', 'AP_small', 'AP_medium', 'AP_large', 'benchmark_AP70'} < numbers.keys()
    assert {'car_AP', 'truck_AP50', 'bus_AP70', 'night_AP70', 'bird_view_AP', 'occlusion_large_AP'} < numbers.keys()


def test_in_a_region_a_detection_costs_nothing_and_outside_it_is_a_false_positive(ann_file):
    samples = perfect(ann_file)
    base = evaluate(ann_file, samples)
    # Wholly inside one region, and across the border between two.
    for left in (210, 250):
        assert evaluate(ann_file, add(samples, 1, (left, 50, 20, 20, 0.99, 0))) == base
    # The same detections where the other frame has no region.
    numbers = evaluate(ann_file, add(samples, 2, (210, 50, 20, 20, 0.99, 0)))
    # 5 cars after a false positive: precision n / (n + 1), at the end 5 / 6.
    assert [numbers['car_AP70'], numbers['car_AP']] == pytest.approx([5 / 6, 5 / 6])
    assert numbers['AP70'] == pytest.approx((5 / 6 + 1 + 1) / 3)
    assert numbers['benchmark_AP70'] == pytest.approx(7 / 8)


def test_mostly_means_more_than_half_and_is_a_setting(ann_file):
    samples = perfect(ann_file)
    half = add(samples, 1, (190, 50, 20, 20, 0.99, 0))
    more = add(samples, 1, (190.1, 50, 20, 20, 0.99, 0))
    assert evaluate(ann_file, half)['car_AP'] == pytest.approx(5 / 6)
    assert evaluate(ann_file, more)['car_AP'] == pytest.approx(1)
    assert evaluate(ann_file, more, max_covered=0.8)['car_AP'] == pytest.approx(5 / 6)


def test_regions_are_for_every_class(ann_file):
    samples = add(perfect(ann_file), 1, (210, 50, 20, 20, 0.99, 1), (210, 90, 20, 20, 0.99, 2))
    assert evaluate(ann_file, samples)['AP'] == pytest.approx(1)


def test_an_object_in_a_region_still_counts(tmp_path):
    write_sequence(tmp_path, 'M0203', [(1, 1, 10, 10, 20, 20, 1, 1, 1)], [(1, 1, 0, 0, 64, 48)], frames=1)
    ann_file = convert(tmp_path)
    assert evaluate(ann_file, [sample(1, (10, 10, 20, 20, 0.5, 0))])['car_AP'] == pytest.approx(1)
    assert evaluate(ann_file, [sample(1)])['car_AP'] == 0
    # A wrong place is forgiven, but does not find it.
    assert evaluate(ann_file, [sample(1, (40, 10, 20, 20, 0.5, 0))])['car_AP'] == 0


def test_the_wrong_class_is_wrong_except_for_the_benchmark(ann_file):
    samples = perfect(ann_file)
    samples[2]['pred_instances']['labels'][:] = 0  # the bus as a car
    numbers = evaluate(ann_file, samples)
    assert numbers['bus_AP'] == 0
    assert numbers['car_AP'] == pytest.approx(1)  # its score is the lowest
    assert numbers['benchmark_AP70'] == pytest.approx(1)


def test_rows_of_attributes_look_at_their_sequences_only(ann_file):
    # By night, in the frame without anything: a bus, and a car, of which the night has none to find.
    samples = add(perfect(ann_file), 4, (10, 10, 60, 30, 0.99, 2), (10, 10, 20, 20, 0.99, 0))
    numbers = evaluate(ann_file, samples)
    for name in ('night', 'high_altitude', 'side_view', 'bird_view'):
        assert numbers[f'{name}_AP70'] == pytest.approx(0.5)
    for name in ('daylight', 'low_altitude', 'front_view'):
        assert numbers[f'{name}_AP70'] == pytest.approx(1)


def test_rows_of_occlusion_and_size_look_at_their_objects_only(ann_file):
    samples = perfect(ann_file)
    # Without the large, which is also the only one of medium occlusion.
    kept = {key: value[[0, 1, 3]] for key, value in samples[0]['pred_instances'].items()}
    samples[0] = dict(img_id=1, pred_instances=kept)
    numbers = evaluate(ann_file, samples)
    assert numbers['occlusion_medium_AP'] == numbers['AP_large'] == 0
    for name in ('occlusion_none_AP', 'occlusion_large_AP', 'occlusion_small_AP', 'AP_small', 'AP_medium'):
        assert numbers[name] == pytest.approx(1)


def test_the_best_detections_of_a_frame_count(ann_file):
    crowd = [(210, 50 + i, 20, 20, 0.99, 0) for i in range(3)]
    samples = add(perfect(ann_file), 2, *crowd)
    assert evaluate(ann_file, samples, max_detections=3)['car_AP'] == pytest.approx(
        evaluate(ann_file, add([*perfect(ann_file)[:1], sample(2), *perfect(ann_file)[2:]], 2, *crowd))['car_AP']
    )


def test_only_the_tested_frames_count(ann_file):
    assert evaluate(ann_file, perfect(ann_file)[:1])['AP'] == pytest.approx(1)


def coco_numbers(ann_file, samples):
    content = json.loads(ann_file.read_text())
    results = []
    for item in samples:
        found = item['pred_instances']
        boxes = torch.cat([found['bboxes'][:, :2], found['bboxes'][:, 2:] - found['bboxes'][:, :2]], dim=1)
        for box, score, label in zip(boxes.tolist(), found['scores'].tolist(), found['labels'].tolist(), strict=True):
            results.append(dict(image_id=item['img_id'], category_id=label + 1, bbox=box, score=score))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = content
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), 'bbox')
        evaluation.params.maxDets = [1, 10, 500]
        evaluation.evaluate()
        evaluation.accumulate()
    # Threshold, class, area.
    precision = evaluation.eval['precision'][..., -1].mean(1)
    return {
        'AP': precision[:, :, 0].mean(),
        'AP50': precision[0, :, 0].mean(),
        'AP70': precision[4, :, 0].mean(),
        'AP75': precision[5, :, 0].mean(),
        'AP_small': precision[:, :, 1].mean(),
        'AP_medium': precision[:, :, 2].mean(),
        'car_AP70': precision[4, 0, 0],
        'truck_AP': precision[:, 1, 0].mean(),
    }


def test_equals_pycocotools_where_nothing_is_ignored(tmp_path):
    rng = np.random.default_rng(3)
    samples, number = [], 0
    for name in ('M0203', 'M0205'):
        rows = []
        for frame in range(1, 6):
            boxes = np.concatenate([rng.integers(0, 250, (12, 2)), rng.integers(12, 60, (12, 2))], axis=1)
            categories = rng.permutation([1, 2, 3] * 4)
            rows += [(frame, i, *box, 1, 1, c) for i, (box, c) in enumerate(zip(boxes, categories, strict=True))]
            moved = boxes + rng.normal(0, 0.07, boxes.shape) * boxes[:, [2, 3, 2, 3]]
            labels = np.where(rng.uniform(size=12) < 0.1, 0, categories - 1)
            number += 1
            samples.append(sample(number, *np.c_[moved, rng.uniform(0.1, 1, 12), labels].tolist()))
        write_sequence(tmp_path, name, rows, frames=5, size=(320, 320))
    ann_file = convert(tmp_path)
    numbers = evaluate(ann_file, samples)
    for name, value in coco_numbers(ann_file, samples).items():
        assert numbers[name] == pytest.approx(value, abs=1e-9), name
        assert 0.05 < value < 0.95


def test_one_class(tmp_path, ann_file):
    ann_file = convert(tmp_path, 'vehicle')
    numbers = evaluate(ann_file, perfect(ann_file), classes=('vehicle',))
    assert [numbers['vehicle_AP'], numbers['benchmark_AP70']] == pytest.approx([1, 1])


def test_what_the_data_set_says_is_a_perfect_detection(ann_file):
    pytest.importorskip('mmdet')
    from flsl_mm.detection.coco import FLSLCocoDataset

    paths = dict(data_root=str(ann_file.parent), ann_file=ann_file.name, data_prefix=dict(img=''))
    dataset = FLSLCocoDataset(**paths, metainfo=dict(classes=('car', 'truck', 'bus')), pipeline=[], test_mode=True)
    samples = []
    for index in range(len(dataset)):
        item = dataset.get_data_info(index)
        objects = [instance for instance in item['instances'] if not instance['ignore_flag']]
        boxes = torch.tensor([instance['bbox'] for instance in objects]).reshape(-1, 4)
        labels = torch.tensor([instance['bbox_label'] for instance in objects])
        found = dict(bboxes=boxes, scores=torch.ones(len(objects)), labels=labels)
        samples.append(dict(img_id=item['img_id'], pred_instances=found))
    numbers = evaluate(ann_file, samples, classes=dataset.metainfo['classes'])
    names = ('AP', 'car_AP', 'truck_AP', 'bus_AP', 'benchmark_AP70')
    assert [numbers[name] for name in names] == pytest.approx([1] * 5)


@pytest.mark.parametrize('classes', [('bus', 'truck', 'car'), ('car', 'bus'), ('car',), ('car', 'truck', 'bus', 'van')])
def test_other_classes_than_the_files_are_refused(ann_file, classes):
    with pytest.raises(
        ValueError, match=f'has the classes car, truck, bus, the data set {", ".join(classes)}: give it all .*--classes'
    ):
        evaluate(ann_file, [sample(1)], classes=classes)


def test_the_table_has_a_row_for_what_there_is(ann_file, monkeypatch):
    printed = []
    monkeypatch.setattr('flsl_mm.uavdt.metric.print_log', lambda text, logger: printed.append(text))
    evaluate(ann_file, perfect(ann_file))
    rows = {line.split()[0]: line.split()[1:] for line in printed[0].splitlines()}
    assert rows['all'] == ['4', '7', '1.000', '1.000', '1.000', '1.000', '1.000']
    assert rows['night'][:2] == ['2', '1']
    assert rows['occlusion_large'][:2] == ['4', '1']
    assert 'fog' not in rows


def test_bad_input_is_one_line(ann_file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no annotation file .*absent.json: write it with flsl-mm uavdt2coco'):
        UAVDTMetric(str(tmp_path / 'absent.json'))
    coco = tmp_path / 'coco.json'
    for text in ('{"images": [], "annotations": [], "categories": []}', '<html>', '[]', '{"images": 3}'):
        coco.write_text(text)
        with pytest.raises(ValueError, match=r'coco.json was not written by flsl-mm uavdt2coco'):
            UAVDTMetric(str(coco))
    with pytest.raises(ValueError, match=r'has no image 99: is it the split that is tested\?'):
        evaluate(ann_file, [sample(99)])


RECORDED = np.load(Path(__file__).parents[1] / 'data' / 'uavdt_ap.npz')
CASES = sorted({key.split('/')[0] for key in RECORDED})


def recorded_case(name, folder):
    """Write a recorded case as an annotation file; return it, the detections and the metric's options."""
    case = {key.split('/')[1]: RECORDED[key] for key in RECORDED if key.startswith(f'{name}/')}
    annotations = []
    for image_id, category, occlusion, *bbox in case['objects'].tolist():
        annotations.append(dict(image_id=image_id, category_id=category, bbox=bbox, iscrowd=0, occlusion=occlusion))
    for image_id, *bbox in case['regions'].tolist():
        annotations.append(dict(image_id=image_id, category_id=1, bbox=bbox, iscrowd=1))
    for number, annotation in enumerate(annotations, start=1):
        annotation.update(id=number, area=annotation['bbox'][2] * annotation['bbox'][3])
    content = dict(
        images=[dict(id=i, sequence=str(s)) for i, s in enumerate(case['sequence_of_image'].tolist(), start=1)],
        sequences={
            str(i): dict(attributes=dict(zip(ATTRIBUTES, flags, strict=True)))
            for i, flags in enumerate(case['flags'].tolist())
        },
        categories=[dict(id=i, name=name) for i, name in enumerate(case['classes'].tolist(), start=1)],
        annotations=annotations,
    )
    path = folder / 'instances.json'
    path.write_text(json.dumps(content))
    samples = []
    for image_id in case['tested'].tolist():
        rows = torch.from_numpy(case['detections'][case['detections'][:, 0] == image_id])
        found = dict(bboxes=rows[:, 3:], scores=rows[:, 2], labels=rows[:, 1].long())
        samples.append(dict(img_id=image_id, pred_instances=found))
    max_covered, max_detections = case['options'].tolist()
    options = dict(classes=tuple(case['classes']), max_covered=max_covered, max_detections=int(max_detections))
    return path, samples, options, dict(zip(case['names'].tolist(), case['values'].tolist(), strict=True))


@pytest.mark.parametrize('name', CASES)
def test_numbers_of_another_implementation(name, tmp_path):
    """Recorded from the array arithmetic that did the same before COCOeval was used, at commit 61fdeb5.

    ``ties`` has equal scores and overlaps everywhere, ``crowded`` more than 100 detections in a frame, ``few`` one
    class and at most three detections a frame.
    """
    ann_file, samples, options, expected = recorded_case(name, tmp_path)
    numbers = evaluate(ann_file, samples, **options)
    assert numbers.keys() == expected.keys()
    for key, value in expected.items():
        assert numbers[key] == pytest.approx(value, abs=1e-7), key
