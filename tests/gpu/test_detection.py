"""A detector through the stand-in for mmcv's compiled ops: RoIAlign and NMS as recorded, a step and a prediction."""

import copy

import pytest
import torch

pytest.importorskip('mmdet')

from tests.builders.detectors import NUM_CLASSES, build
from tests.builders.mmcv_cases import ROI_CASES
from tests.utils.compat import test_ops

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize('number', range(len(ROI_CASES)))
def test_roi_align_and_nms_match_compiled_mmcv(device, number):
    test_ops.test_roi_align_matches_compiled_mmcv(number, device)
    test_ops.test_nms_keeps_what_compiled_mmcv_keeps(number, device)


def test_a_detector_learns_and_predicts_as_on_the_cpu(device):
    """The boxes of an untrained Mask R-CNN, and finite losses after a step."""
    from mmdet.testing import demo_mm_inputs

    torch.manual_seed(0)
    reference = build('Mask R-CNN')
    batch = demo_mm_inputs(1, (3, 90, 100), num_items=[2], num_classes=NUM_CLASSES, with_mask=True)
    found = []
    for place in ('cpu', device):
        model = copy.deepcopy(reference).to(place)
        data = model.eval().data_preprocessor(copy.deepcopy(batch), False)
        with torch.no_grad():
            predicted = model(**data, mode='predict')[0].pred_instances
        found.append((predicted.scores.cpu(), predicted.bboxes.cpu()))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(2):
            data = model.train().data_preprocessor(copy.deepcopy(batch), True)
            loss, terms = model.parse_losses(model(**data, mode='loss'))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert all(value.isfinite() for value in terms.values())
    (scores, boxes), (given_scores, given_boxes) = found
    torch.testing.assert_close(given_scores, scores, rtol=1e-2, atol=1e-3)
    # Scores of an untrained detector are close: rounding may exchange two boxes, or let the NMS keep another one.
    nearest = torch.cdist(boxes, given_boxes).min(1).values
    assert (nearest < 0.1).float().mean() >= 0.8
