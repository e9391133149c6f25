"""A detector through the stand-in for mmcv's compiled ops: RoIAlign and NMS as recorded, a step and a prediction."""

import copy

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')

from flsl_mm.utils.compat import ops
from tests.builders.detectors import NUM_CLASSES, build
from tests.builders.mmcv_cases import NMS_CASES, ROI_CASES, nms_input, roi_input
from tests.utils.compat.test_ops import RECORDED, roi_settings

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize('number', range(len(ROI_CASES)))
def test_roi_align_and_nms_match_compiled_mmcv(device, number):
    case = ROI_CASES[number]
    features, rois, grad_output = (tensor.to(device) for tensor in roi_input(case))
    output, gradient, unused = torch.empty_like(grad_output), torch.empty_like(features), features.new_zeros(0)
    ops.roi_align_forward(features, rois, output, unused, unused, **roi_settings(case))
    ops.roi_align_backward(grad_output, rois, unused, unused, gradient, **roi_settings(case))
    np.testing.assert_allclose(output.cpu(), RECORDED[f'roi_{number}_output'], atol=1e-5)
    np.testing.assert_allclose(gradient.cpu(), RECORDED[f'roi_{number}_gradient'], atol=1e-5)
    boxes, scores = (tensor.to(device) for tensor in nms_input(NMS_CASES[number]))
    kept = ops.nms(boxes, scores, NMS_CASES[number].iou_threshold, NMS_CASES[number].offset)
    assert kept.tolist() == RECORDED[f'nms_{number}'].tolist()


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
