"""mmdet's detectors take the backbone and the pyramid: build, check strides, one training step, one prediction each."""

import pytest
import torch

pytest.importorskip('mmdet')

from flsl_mm.detection.check_hook import check_num_classes, check_strides
from tests.builders.detectors import DETECTORS, NUM_CLASSES, build

pytestmark = pytest.mark.smoke


def make_image(height=90, width=100):
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(1, (3, height, width), num_items=[2], num_classes=NUM_CLASSES, with_mask=True)


def training_step(model, batch):
    """Take one step; every trainable parameter must get a gradient, or distributed training would stop."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = model.train().data_preprocessor(batch, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert [key for key, value in model.named_parameters() if value.requires_grad and value.grad is None] == []


@pytest.mark.parametrize('name', DETECTORS)
def test_detector_trains_and_predicts(name):
    torch.manual_seed(0)
    model = build(name)
    check_strides(model)
    check_num_classes(model, ['class'] * NUM_CLASSES)
    training_step(model, make_image())

    result = model.eval().test_step(make_image())[0].pred_instances
    assert 0 < len(result) <= 10
    assert result.labels.max() < NUM_CLASSES
    assert 'masks' not in result or result.masks.shape[-2:] == (90, 100)


@pytest.mark.parametrize(('height', 'width'), [(90, 101), (33, 150)])
def test_any_image_size_trains_without_padding_to_it(height, width):
    torch.manual_seed(0)
    settings = dict(with_cp=True, frozen_stages=1, drop_path_rate=0.1)
    model = build('Mask R-CNN', pad_size_divisor=1, **settings)
    training_step(model, make_image(height, width))
    assert model.eval().test_step(make_image(height, width))[0].pred_instances.masks.shape[-2:] == (height, width)


def test_an_op_that_torchvision_lacks_is_named_at_the_call():
    import mmcv._ext
    from mmcv.ops import DeformConv2d

    if mmcv._ext.__spec__.origin != 'flsl_mm.utils.compat':
        pytest.skip('mmcv has compiled ops here')
    conv = DeformConv2d(1, 1, 3, padding=1)
    with pytest.raises(NotImplementedError, match="'deform_conv_forward' has no stand-in"):
        conv(torch.zeros(1, 1, 4, 4), torch.zeros(1, 18, 4, 4))
