"""The replacements for compiled mmcv ops against recordings of the compiled ones, and against numbers by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from flsl_mm.utils.compat import ops
from tests.builders.mmcv_cases import NMS_CASES, ROI_CASES, nms_input, roi_input

RECORDED = np.load(Path(__file__).parents[2] / 'data' / 'mmcv_ops.npz')


def roi_settings(case):
    settings = {name: getattr(case, name) for name in ('spatial_scale', 'sampling_ratio', 'aligned')}
    return settings | dict(zip(('aligned_height', 'aligned_width'), case.output_size, strict=True), pool_mode=1)


@pytest.mark.parametrize('device', ['cpu'])
@pytest.mark.parametrize('number', range(len(NMS_CASES)))
def test_nms_keeps_what_compiled_mmcv_keeps(number, device):
    case = NMS_CASES[number]
    boxes, scores = (tensor.to(device) for tensor in nms_input(case))
    kept = ops.nms(boxes, scores, iou_threshold=case.iou_threshold, offset=case.offset)
    assert kept.tolist() == RECORDED[f'nms_{number}'].tolist()
    assert kept.dtype == torch.int64


@pytest.mark.parametrize('device', ['cpu'])
@pytest.mark.parametrize('number', range(len(ROI_CASES)))
def test_roi_align_matches_compiled_mmcv(number, device):
    case = ROI_CASES[number]
    features, rois, grad_output = (tensor.to(device) for tensor in roi_input(case))
    output, gradient, unused = torch.empty_like(grad_output), torch.empty_like(features), features.new_zeros(0)
    ops.roi_align_forward(features, rois, output, unused, unused, **roi_settings(case))
    ops.roi_align_backward(grad_output, rois, unused, unused, gradient, **roi_settings(case))
    np.testing.assert_allclose(output.cpu(), RECORDED[f'roi_{number}_output'], atol=1e-5)
    np.testing.assert_allclose(gradient.cpu(), RECORDED[f'roi_{number}_gradient'], atol=1e-5)


def test_nms_offset_widens_boxes():
    # Side 2: areas 4, overlap 2, IoU 1/3. With offset 1: areas 9, overlap 6, IoU 1/2.
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]])
    scores = torch.tensor([0.5, 0.9])
    assert ops.nms(boxes, scores, 0.4, 0).tolist() == [1, 0]
    assert ops.nms(boxes, scores, 0.4, 1).tolist() == [1]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_computes_half_types_in_float32(dtype):
    case = ROI_CASES[0]
    features, rois, grad_output = roi_input(case)
    features, rois = features.to(dtype), rois.to(dtype)
    unused = features.new_zeros(0)
    output, expected = torch.empty_like(grad_output, dtype=dtype), torch.empty_like(grad_output)
    ops.roi_align_forward(features, rois, output, unused, unused, **roi_settings(case))
    ops.roi_align_forward(features.float(), rois.float(), expected, unused, unused, **roi_settings(case))
    assert torch.equal(output, expected.to(dtype))


def test_roi_align_refuses_maximum_pooling():
    features, rois, grad_output = roi_input(ROI_CASES[0])
    settings = dict(roi_settings(ROI_CASES[0]), pool_mode=0)
    with pytest.raises(NotImplementedError, match="pool_mode='max'"):
        ops.roi_align_forward(features, rois, grad_output, features, features, **settings)


def test_focal_loss_by_hand():
    # Probability 1/2 everywhere: log 2 * (1/2)^gamma, times alpha for the positive and 1 - alpha for negatives.
    logits, target = torch.zeros(2, 2), torch.tensor([1, 2])
    output, empty = torch.empty(2, 2), torch.empty(0)
    ops.sigmoid_focal_loss_forward(logits, target, empty, output, gamma=2.0, alpha=0.25)
    negative, positive = 0.75 * 0.25 * math.log(2), 0.25 * 0.25 * math.log(2)
    torch.testing.assert_close(output, torch.tensor([[negative, positive], [negative, negative]]))
    ops.sigmoid_focal_loss_forward(logits, target, torch.tensor([3.0, 5.0]), output, gamma=2.0, alpha=0.25)
    torch.testing.assert_close(output, torch.tensor([[5 * negative, 5 * positive], [negative, negative]]))


def test_focal_loss_gradient_is_the_derivative_of_the_loss():
    generator = torch.Generator().manual_seed(0)
    logits, target = 3 * torch.randn(6, 4, generator=generator), torch.tensor([0, 1, 2, 3, 4, 4])
    gradient, above, below = (torch.empty(6, 4) for _ in range(3))
    settings = dict(gamma=2.0, alpha=0.25)
    step = 1e-2
    ops.sigmoid_focal_loss_backward(logits, target, torch.empty(0), gradient, **settings)
    ops.sigmoid_focal_loss_forward(logits + step, target, torch.empty(0), above, **settings)
    ops.sigmoid_focal_loss_forward(logits - step, target, torch.empty(0), below, **settings)
    torch.testing.assert_close(gradient, (above - below) / (2 * step), atol=2e-4, rtol=0)


def test_deformable_attention_samples_and_differentiates():
    # One head and one 1x2 map with values 1 and 3; the point halfway between both pixels reads 2.
    value = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1)
    shapes, start = torch.tensor([[1, 2]]), torch.tensor([0])
    location = torch.tensor([0.5, 0.5]).reshape(1, 1, 1, 1, 1, 2)
    weight = torch.full((1, 1, 1, 1, 1), 0.5)
    output = ops.ms_deform_attn_forward(value, shapes, start, location, weight, im2col_step=64)
    assert output.flatten().tolist() == [1.0]
    gradients = [torch.empty_like(tensor) for tensor in (value, location, weight)]
    ops.ms_deform_attn_backward(value, shapes, start, location, weight, torch.ones(1, 1, 1), *gradients, im2col_step=64)
    assert gradients[0].flatten().tolist() == [0.25, 0.25]
    # The map is 2 pixels wide and rises by 2 a pixel: 0.5 * 2 * 2 along x.
    assert gradients[1].flatten().tolist()[0] == pytest.approx(2.0)
    assert gradients[2].flatten().tolist() == [2.0]
