"""UAVDT's average precision: ignore regions and occlusions by hand, and COCO's own numbers where there are none."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval

from flsl_mm.uavdt.ap import ANY_AREA, UAVDTEval, area_under_curve, count_objects
from flsl_mm.uavdt.truth import index_annotations

ANYTHING = (*ANY_AREA, None)
A, B = (0, 0, 10, 10), (100, 0, 10, 10)
A_SHIFTED = (2, 0, 10, 10)  # intersection over union with A: 80 / 120


def index(frames, categories=(1,)):
    """Index objects, rows of box and optionally occlusion and category, by the id of their frame."""
    annotations = []
    for image_id, rows in frames.items():
        for box, *rest in rows:
            occlusion, category = (*rest, 1, 1)[:2]
            entry = dict(id=len(annotations) + 1, image_id=image_id, category_id=category, iscrowd=0)
            annotations.append(dict(entry, bbox=list(box), area=box[2] * box[3], occlusion=occlusion))
    images, categories = ([dict(id=i) for i in ids] for ids in (frames, categories))
    return index_annotations(dict(images=images, annotations=annotations, categories=categories))


def results(image_id, rows):
    """Make COCO's results from rows of box and optionally score, whether it lies in a region, and category."""
    detections = []
    for number, (box, *rest) in enumerate(rows, start=1):
        score, in_region, category = (*rest, *(1 - number / 100, False, 1)[len(rest) :])
        entry = dict(id=number, image_id=image_id, category_id=category, score=score, in_region=in_region)
        detections.append(dict(entry, bbox=list(box), area=box[2] * box[3]))
    return detections


def evaluate(objects, detections, ranges=(ANYTHING,), thresholds=(0.5,), most=500):
    evaluation = UAVDTEval(index({1: objects}), ranges, np.array(thresholds), most)
    return evaluation, evaluation.evaluate_frame(1, results(1, detections))


def statuses(*args, **kwargs):
    """Tell of each range, threshold and detection whether it is right (+), wrong (-) or not counted (0)."""
    _, entries = evaluate(*args, **kwargs)
    told = []
    for entry in entries:
        signs = np.where(entry['dtIgnore'], '0', np.where(entry['dtMatches'], '+', '-'))
        told.append([''.join(row) for row in signs])
    return told


AREAS_APART = (ANYTHING, (0, 99, None), (100, 1e10, None))


@pytest.mark.parametrize(
    ('objects', 'detections', 'options', 'expected'),
    [
        ([(A,), (B,)], [(A,), (B,)], {}, [['++']]),
        ([(A,), (B,)], [(A,), (A,)], {}, [['+-']]),
        ([(A,)], [(B,)], {}, [['-']]),
        ([], [(A,)], {}, [['-']]),
        ([(A,)], [], {}, [['']]),
        # In a region an unmatched detection costs nothing and a match counts; the second of a pair is unmatched.
        ([(A,)], [(B, 0.9, True), (A, 0.8)], {}, [['0+']]),
        ([(A,)], [(B, 0.9, False), (A, 0.8)], {}, [['-+']]),
        ([(A,)], [(A, 0.9, True)], {}, [['+']]),
        ([(A,)], [(A, 0.9, True), (A, 0.8, True)], {}, [['+0']]),
        ([], [(B, 0.9, True)], {}, [['0']]),
        # The flags follow their boxes when these are ordered by score, and hold at every threshold.
        ([], [(A, 0.1, True), (B, 0.9, False)], {}, [['-0']]),
        ([(A,)], [(A_SHIFTED, 0.9, True), (B, 0.8, True)], dict(thresholds=(0.5, 0.7, 0.95)), [['+0', '00', '00']]),
        # Unmatched detections of another area are not counted, and only the best detections of a frame are.
        ([(A,)], [(B,)], dict(ranges=AREAS_APART), [['-'], ['0'], ['-']]),
        ([(A,)], [(A, 0.1), (B, 0.9), (B, 0.8)], dict(most=2), [['--']]),
    ],
)
def test_right_wrong_and_not_counted(objects, detections, options, expected):
    assert statuses(objects, detections, **options) == expected


def test_objects_of_another_occlusion_may_be_found_or_missed():
    ranges = (ANYTHING, (*ANY_AREA, 2))
    assert statuses([(A, 2), (B, 3)], [(A,), (B,)], ranges) == [['++'], ['+0']]
    # Ranges do not remember the one before: the first again, after the second.
    assert statuses([(A, 2), (B, 3)], [(B,)], (*ranges, ANYTHING)) == [['+'], ['0'], ['+']]
    # An object that is asked for goes first, though another overlaps more.
    assert statuses([(A, 3), (A_SHIFTED, 2)], [(A,)], ranges) == [['+'], ['+']]
    assert area_under_curve(evaluate([(A, 2), (B, 3)], [(B,), (A,)], ranges)[1][1:]) == 1
    evaluation, entries = evaluate([(A, 2), (B, 3), (B, 3)], [(A,)], ranges)
    assert [count_objects([entry]) for entry in entries] == [3, 1]
    assert evaluation.average([entries]).num_objects.tolist() == [[3, 1]]


def test_average_precision_by_hand():
    # Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; the envelope is 1 up to 1/2, then 2/3.
    evaluation, entries = evaluate([(A,), (B,)], [(A,), (A,), (B,)])
    averages = evaluation.average([entries])
    assert averages.precision.item() == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert averages.recall.item() == 1
    assert area_under_curve(entries) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # What is not counted leaves no trace.
    forgiven = [(B, 0.99, True), (A, 0.9), (B, 0.8, True), (A, 0.7), (B, 0.6, True)]
    for rows in ([(A, 0.9), (A, 0.7)], forgiven):
        evaluation, entries = evaluate([(A,), ((200, 0, 10, 10),)], rows)
        assert evaluation.average([entries]).precision.item() == pytest.approx(51 / 101)
        assert area_under_curve(entries) == 0.5


def test_perfect_nothing_missed_and_absent():
    for objects, rows, expected in (
        ([(A,)], [(A,)], 1),
        ([(A,)], [], 0),
        ([(A,)], [(B,)], 0),
        ([], [(A,)], -1),
        ([], [], -1),
    ):
        evaluation, entries = evaluate(objects, rows)
        averages = evaluation.average([entries])
        assert [averages.precision.item(), averages.recall.item()] == pytest.approx([expected] * 2)
        assert area_under_curve(entries) == expected
    assert evaluation.average([]).precision.item() == area_under_curve([]) == -1
    assert evaluate([], [])[1] == [None]


def test_all_classes_as_one():
    truth = index({1: [(A, 1, 1), (B, 1, 2)]}, categories=(1, 2))
    detections = results(1, [(A, 0.9, False, 2), (B, 0.8, False, 1), (B, 0.7, False, 1)])
    per_class, any_class = (UAVDTEval(truth, (ANYTHING,), np.array([0.5]), 500, any_class=one) for one in (False, True))
    assert per_class.average([per_class.evaluate_frame(1, detections)]).precision.tolist() == [[[0], [0]]]
    assert area_under_curve(any_class.evaluate_frame(1, detections)) == 1


AREAS = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def our_evaluation(frames, image_ids=None):
    evaluation = UAVDTEval(
        index({i: truth for i, (truth, _) in frames.items()}, (1, 2)),
        [(*area, None) for area in AREAS],
        THRESHOLDS,
        500,
    )
    return evaluation.average([evaluation.evaluate_frame(i, results(i, frames[i][1])) for i in image_ids or frames])


def coco_evaluation(frames, image_ids=None):
    """Evaluate the same with pycocotools, by its own ``evaluate`` over all frames or over ``params.imgIds``."""
    truth = index({i: truth for i, (truth, _) in frames.items()}, (1, 2))
    detections = [entry for i, (_, rows) in frames.items() for entry in results(i, rows)]
    found = index_annotations(
        dict(images=truth.dataset['images'], annotations=[dict(d, id=i) for i, d in enumerate(detections, start=1)])
    )
    evaluation = COCOeval(truth, found, 'bbox')
    if image_ids:
        evaluation.params.imgIds = image_ids
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval['precision'][..., -1].mean(1), evaluation.eval['recall'][..., -1]


side = st.integers(20, 120)
place = st.integers(0, 60)
box = st.tuples(place, place, side, side)
category = st.integers(1, 2)
# Few different scores and coordinates: equal scores and equal overlaps occur.
found = st.tuples(box, st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9]), st.just(False), category)
frame = st.tuples(st.lists(st.tuples(box, st.just(1), category), max_size=6), st.lists(found, max_size=9))


@settings(max_examples=60)
@given(st.lists(frame, min_size=1, max_size=4), st.data())
def test_equals_pycocotools_for_all_frames_and_for_some(frames, data):
    frames = dict(enumerate(frames, start=1))
    some = sorted(data.draw(st.sets(st.sampled_from(list(frames)), min_size=1)))
    for image_ids in (None, some):
        precision, recall = coco_evaluation(frames, image_ids)
        ours = our_evaluation(frames, image_ids)
        np.testing.assert_allclose(ours.precision, precision, atol=1e-12)
        np.testing.assert_allclose(ours.recall, recall, atol=1e-12)
