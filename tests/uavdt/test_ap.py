"""The arithmetic of average precision: by hand, and equal to pycocotools where nothing is ignored."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from flsl_mm.uavdt.ap import (
    FALSE_POSITIVE,
    NOT_COUNTED,
    TRUE_POSITIVE,
    Objects,
    area_under_curve,
    interpolated_ap,
    match,
    precision_recall,
)

ANY_AREA = np.array([[0.0, 1e10]])
FP, TP, NC = FALSE_POSITIVE, TRUE_POSITIVE, NOT_COUNTED


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 4)


def objects(*rows, wanted=None, areas=ANY_AREA):
    wanted = np.ones((len(areas), len(rows)), bool) if wanted is None else np.array(wanted)
    return Objects(boxes(*rows), wanted, np.array(areas, float))


def statuses(detections, found, in_regions=None, thresholds=(0.5,)):
    in_regions = np.zeros(len(detections), bool) if in_regions is None else np.array(in_regions)
    return match(boxes(*detections), in_regions, found, np.array(thresholds)).tolist()


A, B = (0, 0, 10, 10), (100, 0, 10, 10)
A_SHIFTED = (2, 0, 10, 10)  # intersection over union with A: 80 / 120


def test_found_missed_and_found_twice():
    assert statuses([A, B], objects(A, B)) == [[[TP, TP]]]
    assert statuses([A, A], objects(A, B)) == [[[TP, FP]]]
    assert statuses([B], objects(A)) == [[[FP]]]
    assert statuses([A], objects()) == [[[FP]]]
    assert statuses([], objects(A)) == [[[]]]


def test_each_threshold_by_itself():
    assert statuses([A_SHIFTED, A], objects(A), thresholds=(0.5, 2 / 3, 0.7)) == [[[TP, FP], [TP, FP], [FP, TP]]]


def test_a_detection_takes_the_object_it_overlaps_most():
    # The first takes the right object, so that the second finds its own.
    assert statuses([(4, 0, 10, 10), (0, 0, 10, 10)], objects((0, 0, 10, 10), (5, 0, 10, 10)), thresholds=(0.4,)) == [
        [[TP, TP]]
    ]


def test_of_two_objects_that_it_overlaps_alike_it_takes_the_last_as_coco_does():
    truth, between = [(0, 0, 20, 10), (4, 0, 20, 10)], (2, 0, 20, 10)
    assert statuses([between, truth[0]], objects(*truth), thresholds=(0.7,)) == [[[TP, TP]]]
    assert statuses([between, truth[1]], objects(*truth), thresholds=(0.7,)) == [[[TP, FP]]]
    for second in truth:
        pictures = {1: truth}, {1: [(between, 0.9), (second, 0.5)]}
        np.testing.assert_allclose(our_ap(*pictures), coco_ap(*pictures), atol=1e-12)


def test_in_a_region_an_unmatched_detection_costs_nothing_and_a_match_counts():
    assert statuses([B, A], objects(A), in_regions=[True, False]) == [[[NC, TP]]]
    assert statuses([B, A], objects(A), in_regions=[False, False]) == [[[FP, TP]]]
    assert statuses([A], objects(A), in_regions=[True]) == [[[TP]]]
    # The second of a pair is unmatched.
    assert statuses([A, A], objects(A), in_regions=[True, True]) == [[[TP, NC]]]
    assert statuses([B], objects(), in_regions=[True]) == [[[NC]]]
    # At every threshold alike, unlike a crowd region.
    assert statuses([B], objects(A), in_regions=[True], thresholds=(0.5, 0.95)) == [[[NC], [NC]]]


def test_objects_that_are_not_asked_for_may_be_found_or_missed():
    assert statuses([A, B], objects(A, B, wanted=[[True, False]])) == [[[TP, NC]]]
    # One that is asked for goes first, though another overlaps more.
    assert statuses([A], objects(A, A_SHIFTED, wanted=[[False, True]])) == [[[TP]]]


def test_unmatched_detections_of_another_area_are_not_counted():
    areas = [(0, 1e10), (0, 99), (100, 1e10)]
    assert statuses([B], objects(A, areas=areas)) == [[[FP]], [[NC]], [[FP]]]


def curve(status, num_objects, scores=None):
    status = np.array([status])
    scores = np.arange(status.shape[1], 0, -1) if scores is None else np.array(scores)
    return precision_recall(scores, status, num_objects)


def test_average_precision_by_hand():
    # Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; the envelope is 1 up to 1/2, then 2/3.
    precision, recall = curve([TP, FP, TP], 2)
    np.testing.assert_allclose(precision, [[1, 2 / 3, 2 / 3]])
    np.testing.assert_allclose(recall, [[0.5, 0.5, 1]])
    assert interpolated_ap(precision, recall)[0] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert area_under_curve(precision, recall)[0] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_what_is_not_counted_leaves_no_trace():
    for function in (interpolated_ap, area_under_curve):
        assert function(*curve([NC, TP, NC, FP, TP, NC], 2)) == function(*curve([TP, FP, TP], 2))


def test_perfect_nothing_and_missed():
    for function in (interpolated_ap, area_under_curve):
        assert function(*curve([TP], 1)) == 1
        assert function(*curve([TP] * 7, 7)) == 1
        assert function(*curve([], 3)) == 0
        assert function(*curve([FP, FP], 3)) == 0
    assert area_under_curve(*curve([TP, TP], 4))[0] == 0.5
    assert interpolated_ap(*curve([TP, TP], 4))[0] == pytest.approx(51 / 101)


def test_scores_decide_the_order_and_equal_ones_keep_theirs():
    np.testing.assert_array_equal(curve([FP, TP, TP], 2, scores=[0.1, 0.9, 0.5])[1], [[0.5, 1, 1]])
    np.testing.assert_array_equal(curve([FP, TP, TP], 2, scores=[0.5, 0.5, 0.5])[1], [[0, 0.5, 1]])


AREAS = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def coco_ap(truth, detections):
    """Average precision (4, 10), by area and threshold, from pycocotools; pictures by id, one class."""
    images = [dict(id=i) for i in truth]
    annotations = [
        dict(id=0, image_id=i, category_id=1, bbox=list(box), area=box[2] * box[3], iscrowd=0)
        for i, rows in truth.items()
        for box in rows
    ]
    for number, annotation in enumerate(annotations, start=1):
        annotation['id'] = number
    results = [
        dict(image_id=i, category_id=1, bbox=list(box), score=score)
        for i, rows in detections.items()
        for box, score in rows
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(images=images, annotations=annotations, categories=[dict(id=1)])
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval['precision'][:, :, 0, :, -1].mean(1).T


def our_ap(truth, detections):
    scores, status, num_objects = [], [], 0
    for i, rows in truth.items():
        ordered = sorted(detections[i], key=lambda row: -row[1])
        areas = boxes(*rows)[:, 2] * boxes(*rows)[:, 3]
        wanted = [(low <= areas) & (areas <= high) for low, high in AREAS]
        found = match(
            boxes(*(row[0] for row in ordered)),
            np.zeros(len(ordered), bool),
            Objects(boxes(*rows), np.array(wanted), np.array(AREAS)),
            THRESHOLDS,
        )
        scores += [row[1] for row in ordered]
        status.append(found)
        num_objects = num_objects + np.array(wanted).sum(1)
    status = np.concatenate(status, axis=-1)
    rows = [
        interpolated_ap(*precision_recall(np.array(scores), part, number)) if number else np.full(10, -1.0)
        for part, number in zip(status, num_objects, strict=True)
    ]
    return np.array(rows)


side = st.integers(20, 120)
place = st.integers(0, 60)
box = st.tuples(place, place, side, side)
# Few different scores and coordinates: equal scores and equal overlaps occur.
scored = st.tuples(box, st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(box, max_size=6), st.lists(scored, max_size=9)), min_size=1, max_size=4))
def test_equals_pycocotools(pictures):
    truth = {i: rows for i, (rows, _) in enumerate(pictures, start=1)}
    detections = {i: rows for i, (_, rows) in enumerate(pictures, start=1)}
    if not any(detections.values()):
        return  # pycocotools takes no empty list of results
    np.testing.assert_allclose(our_ap(truth, detections), coco_ap(truth, detections), atol=1e-12)


def test_equals_pycocotools_on_a_plausible_detector():
    rng = np.random.default_rng(0)
    truth, detections = {}, {}
    for i in range(1, 31):
        rows = np.concatenate([rng.uniform(0, 900, (20, 2)), np.exp(rng.uniform(2.3, 5, (20, 2)))], axis=1)
        moved = rows + rng.normal(0, 0.08, rows.shape) * rows[:, [2, 3, 2, 3]]
        moved[:, 2:] = moved[:, 2:].clip(1)
        truth[i] = rows.tolist()
        detections[i] = [(row, float(score)) for row, score in zip(moved.tolist(), rng.uniform(0, 1, 20), strict=True)]
        detections[i] += [((left + 300, *rest), 0.3) for left, *rest in rows[:5].tolist()]
    ours = our_ap(truth, detections)
    np.testing.assert_allclose(ours, coco_ap(truth, detections), atol=1e-12)
    assert 0.3 < ours[0].mean() < 0.9
