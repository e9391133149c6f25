"""Regions that are not annotated: the share of a box in them, and boxes in them that take no part in training."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from flsl_mm.uavdt.ignore_regions import FLSLExtendIgnoreRegions, FLSLIgnoreRegionAssigner, covered_share


@pytest.fixture(autouse=True)
def _mmdet_scope():
    init_default_scope('mmdet')  # as mmdet's configs do; other tests may have left another one


def shares(boxes, regions, dtype=torch.float64):
    return covered_share(
        torch.tensor(boxes, dtype=dtype).reshape(-1, 4), torch.tensor(regions, dtype=dtype).reshape(-1, 4)
    )


def test_shares_by_hand():
    boxes = [[0, 0, 10, 10], [5, 0, 15, 10], [9, 9, 11, 11], [20, 20, 30, 30], [-5, -5, 25, 25]]
    assert shares(boxes, [[0, 0, 10, 10]]).tolist() == pytest.approx([1, 0.5, 0.25, 0, 100 / 900])
    assert shares(boxes, []).tolist() == [0] * 5
    assert shares([], [[0, 0, 10, 10]]).tolist() == []
    # Two regions side by side count together, two that overlap count once, an empty one not at all.
    assert shares([[5, 0, 15, 10]], [[0, 0, 10, 10], [10, 0, 20, 10]]).tolist() == [1]
    assert shares([[0, 0, 10, 10]], [[0, 0, 6, 10], [4, 0, 8, 10], [0, 0, 6, 10]]).tolist() == pytest.approx([0.8])
    assert shares([[0, 0, 10, 10]], [[3, 3, 3, 9]]).tolist() == [0]
    assert shares([[5, 5, 5, 9], [9, 5, 5, 9]], [[0, 0, 10, 10]]).tolist() == [0, 0]  # boxes without area


def test_large_boxes_under_mixed_precision():
    boxes, regions = torch.tensor([[0.0, 0, 1000, 1000]]), torch.tensor([[0.0, 0, 1000, 501]])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert covered_share(boxes, regions).item() == pytest.approx(0.501)
        assert covered_share(boxes.half(), regions).item() == pytest.approx(0.501)


corner = st.integers(0, 11)
box = st.tuples(corner, corner, st.integers(1, 12), st.integers(1, 12)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(box, max_size=4), st.lists(box, max_size=5))
def test_shares_count_pixels(boxes, regions):
    mask = np.zeros((24, 24))
    for x1, y1, x2, y2 in regions:
        mask[y1:y2, x1:x2] = 1
    expected = [mask[y1:y2, x1:x2].mean() for x1, y1, x2, y2 in boxes]
    np.testing.assert_allclose(shares(boxes, regions), expected, atol=1e-12)


IN_REGION, ACROSS, OUTSIDE, ON_OBJECT = [0, 0, 10, 10], [4, 0, 14, 10], [60, 60, 70, 70], [30, 30, 41, 40]
OBJECT, HALF = [30, 30, 40, 40], [15, 0, 25, 10]
REGIONS = [[0, 0, 9, 20], [9, 0, 20, 20]]


def instances(**boxes):
    data = {name: torch.tensor(rows, dtype=torch.float32).reshape(-1, 4) for name, rows in boxes.items()}
    return InstanceData(**data)


def assign(priors, objects, regions, **options):
    pytest.importorskip('mmdet')
    inner = dict(type='mmdet.MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
    truth = instances(bboxes=objects)
    truth.labels = torch.arange(len(objects)) + 1
    ignored = None if regions is None else instances(bboxes=regions)
    return FLSLIgnoreRegionAssigner(inner, **options).assign(instances(priors=priors), truth, ignored)


def test_boxes_in_regions_are_neither_positive_nor_negative():
    result = assign([IN_REGION, ON_OBJECT, ACROSS, OUTSIDE], [OBJECT], REGIONS)
    assert result.gt_inds.tolist() == [-1, 1, -1, 0]
    assert result.labels.tolist() == [-1, 1, -1, -1]
    assert result.max_overlaps.tolist() == pytest.approx([0, 100 / 110, 0, 0])
    assert result.num_preds == 4


@pytest.mark.parametrize(
    ('priors', 'objects', 'regions', 'options', 'expected'),
    [
        # Without an object mmdet's own option, ignore_iof_thr, makes every box negative.
        ([IN_REGION, OUTSIDE], [], REGIONS, {}, [-1, 0]),
        # An object in a region: the best of the other boxes takes it over where it overlaps enough.
        ([ON_OBJECT, OUTSIDE], [OBJECT], [[20, 20, 50, 50]], {}, [-1, 0]),
        ([OBJECT, [30, 30, 50, 40]], [OBJECT], [[28, 28, 40, 42]], {}, [-1, 1]),
        ([HALF], [OBJECT], REGIONS, {}, [0]),
        ([HALF], [OBJECT], REGIONS, dict(max_covered=0.4), [-1]),
        ([IN_REGION, ON_OBJECT], [OBJECT], None, {}, [0, 1]),
        ([IN_REGION, ON_OBJECT], [OBJECT], [], {}, [0, 1]),
        ([IN_REGION, ACROSS], [OBJECT], REGIONS, {}, [-1, -1]),
        ([], [OBJECT], REGIONS, {}, []),
    ],
)
def test_which_object_a_box_gets(priors, objects, regions, options, expected):
    assert assign(priors, objects, regions, **options).gt_inds.tolist() == expected


def test_subclasses_are_wrapped_and_other_assigners_refused():
    pytest.importorskip('mmdet')
    from mmdet.models.task_modules import MaxIoUAssigner
    from mmengine.registry import TASK_UTILS

    class Sub(MaxIoUAssigner):
        pass

    with pytest.raises(ValueError, match='cannot wrap ATSSAssigner: its assigner has to be a MaxIoUAssigner'):
        FLSLIgnoreRegionAssigner(dict(type='mmdet.ATSSAssigner', topk=9))
    TASK_UTILS.register_module(module=Sub, name='FLSLTestSub')
    try:
        wrapped = FLSLIgnoreRegionAssigner(dict(type='FLSLTestSub', pos_iou_thr=0.5, neg_iou_thr=0.5))
    finally:
        TASK_UTILS.module_dict.pop('FLSLTestSub')
    assert isinstance(wrapped.assigner, Sub)


def extended(boxes, flags, img_shape=(128, 128)):
    pytest.importorskip('mmdet')
    from mmdet.structures.bbox import HorizontalBoxes

    boxes = HorizontalBoxes(torch.as_tensor(boxes, dtype=torch.float32))
    results = dict(gt_bboxes=boxes, gt_ignore_flags=flags, img_shape=img_shape)
    return FLSLExtendIgnoreRegions()(results)['gt_bboxes'].tensor


def test_regions_at_the_border_go_on_beyond_it():
    boxes = [[0, 10, 50, 60], [40, 30.2, 99.4, 59.8], [0, 0, 100, 60], [10, 1, 99, 59], [0, 10, 50, 60]]
    assert extended(boxes, [True, True, True, True, False], (60, 100)).tolist() == [
        [-100, 10, 50, 160],
        [40, pytest.approx(30.2), pytest.approx(199.4), pytest.approx(159.8)],
        [-100, -100, 200, 160],
        [10, 1, 99, 59],
        [0, 10, 50, 60],
    ]
    assert extended(torch.zeros(0, 4), []).shape == (0, 4)
