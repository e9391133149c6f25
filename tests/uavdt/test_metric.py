"""The metric on converted trees: what ignore regions forgive, classes, sizes, attributes; and equality with COCO's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS

from flsl_mm.uavdt.annotations import ATTRIBUTES
from flsl_mm.uavdt.convert import CLASSES, CocoSplitWriter, read_sequences
from flsl_mm.uavdt.layout import find_sequences
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
    options = dict(size=(320, 200), split='test', frames=2)
    write_sequence(tmp_path, 'M0203', boxes, regions, attributes=DAY_LOW_FRONT, **options)
    # By night a bus, and a frame without anything.
    night = [(1, 1, 10, 10, 60, 30, 1, 1, 3)]
    write_sequence(tmp_path, 'M0205', night, attributes=NIGHT_HIGH_SIDE_BIRD, **options)
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
    changed = list(samples)
    more = sample(img_id, *rows)['pred_instances']
    old = changed[img_id - 1]['pred_instances']
    changed[img_id - 1] = dict(img_id=img_id, pred_instances={key: torch.cat([old[key], more[key]]) for key in more})
    return changed


def test_a_perfect_detector_scores_1_everywhere(ann_file, monkeypatch):
    printed = []
    monkeypatch.setattr('flsl_mm.uavdt.metric.print_log', lambda text, logger: printed.append(text))
    numbers = evaluate(ann_file, perfect(ann_file))
    # No sequence is foggy, of medium altitude; every other number has something to find.
    absent = {name for name, value in numbers.items() if value == -1}
    assert absent == {f'{name}_{kind}' for name in ('fog', 'medium_altitude') for kind in ('AP', 'AP70')}
    assert all(numbers[name] == pytest.approx(1) for name in numbers.keys() - absent)
    assert {'AP', 'AP50', 'AP75', 'AP70', 'AP_small', 'AP_medium', 'AP_large', 'benchmark_AP70'} < numbers.keys()
    assert {'car_AP', 'truck_AP50', 'bus_AP70', 'night_AP70', 'bird_view_AP', 'occlusion_large_AP'} < numbers.keys()
    rows = {line.split()[0]: line.split()[1:] for line in printed[0].splitlines()}
    assert rows['all'] == ['4', '7', '1.000', '1.000', '1.000', '1.000', '1.000']
    assert rows['night'][:2] == ['2', '1']
    assert rows['occlusion_large'][:2] == ['4', '1']
    assert 'fog' not in rows


def test_in_a_region_a_detection_costs_nothing_and_outside_it_is_a_false_positive(ann_file):
    samples = perfect(ann_file)
    base = evaluate(ann_file, samples)
    # Wholly inside one region, and across the border between two.
    for left in (210, 250):
        assert evaluate(ann_file, add(samples, 1, (left, 50, 20, 20, 0.99, 0))) == base
    other_classes = add(samples, 1, (210, 50, 20, 20, 0.99, 1), (210, 90, 20, 20, 0.99, 2))
    assert evaluate(ann_file, other_classes)['AP'] == pytest.approx(1)
    assert evaluate(ann_file, samples[:1])['AP'] == pytest.approx(1)  # of frames that are not tested nothing is missed
    with pytest.raises(ValueError, match=r'has no image 99: is it the split that is tested\?'):
        evaluate(ann_file, [sample(99)])
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


def test_rows_of_attributes_look_at_their_sequences_only(ann_file):
    # By night, in the frame without anything: a bus, and a car, of which the night has none to find.
    samples = add(perfect(ann_file), 4, (10, 10, 60, 30, 0.99, 2), (10, 10, 20, 20, 0.99, 0))
    numbers = evaluate(ann_file, samples)
    for name in ('night', 'high_altitude', 'side_view', 'bird_view'):
        assert numbers[f'{name}_AP70'] == pytest.approx(0.5)
    for name in ('daylight', 'low_altitude', 'front_view'):
        assert numbers[f'{name}_AP70'] == pytest.approx(1)


def test_rows_of_occlusion_and_size_look_at_their_objects_only(ann_file):
    assert evaluate(ann_file, [sample(1, (10, 10, 20, 20, 0.5, 2))])['bus_AP'] == 0  # which is a car
    samples = perfect(ann_file)
    # Without the large, which is also the only one of medium occlusion.
    kept = {key: value[[0, 1, 3]] for key, value in samples[0]['pred_instances'].items()}
    samples[0] = dict(img_id=1, pred_instances=kept)
    numbers = evaluate(ann_file, samples)
    assert numbers['occlusion_medium_AP'] == numbers['AP_large'] == 0
    for name in ('occlusion_none_AP', 'occlusion_large_AP', 'occlusion_small_AP', 'AP_small', 'AP_medium'):
        assert numbers[name] == pytest.approx(1)


@pytest.mark.parametrize('classes', [('bus', 'truck', 'car'), ('car', 'bus'), ('car',), ('car', 'truck', 'bus', 'van')])
def test_other_classes_than_the_files_are_refused(ann_file, classes):
    with pytest.raises(ValueError, match=f'has the classes car, truck, bus, the data set {", ".join(classes)}'):
        evaluate(ann_file, [sample(1)], classes=classes)


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
