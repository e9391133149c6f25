"""The data preprocessor of a model against what the file of its backbone records."""

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from torch import nn

from flsl_mm.engine.model_check import check_model_input
from tests.builders.checkpoints import file_of, tiny

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


class Model(nn.Module):
    def __init__(self, backbone, data_preprocessor):
        super().__init__()
        self.backbone, self.data_preprocessor = backbone, data_preprocessor


@pytest.fixture
def loaded(tmp_path):
    torch.save(file_of(tiny(3)), tmp_path / 'a_backbone.pth')
    backbone = tiny(0, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'a_backbone.pth')))
    backbone.init_weights()
    return backbone


def test_what_the_file_records_passes(loaded):
    check_model_input(Model(loaded, ImgDataPreprocessor(MEAN, STD, bgr_to_rgb=True)), '')


@pytest.mark.parametrize(
    ('preprocessor', 'line'),
    [
        (dict(mean=MEAN, std=STD), r'would get BGR of mean \[0.485'),
        (dict(bgr_to_rgb=True), r'RGB of mean \[0.0, 0.0, 0.0\] and std \[0.004'),
        (dict(mean=[127.5], std=[127.5], bgr_to_rgb=True), r'RGB of mean \[0.5, 0.5, 0.5\] and std \[0.5'),
    ],
)
def test_other_colors_are_refused_with_the_values_to_set(loaded, preprocessor, line):
    advice = r'set mean=\[123.675, 116.28, 103.53\], std=\[58.395, 57.12, 57.375\], bgr_to_rgb=True .* or this insists'
    with pytest.raises(ValueError, match=rf'{line}.*{advice}'):
        check_model_input(Model(loaded, ImgDataPreprocessor(**preprocessor)), 'this insists')


def test_other_models_are_not_checked(loaded):
    wrong = ImgDataPreprocessor()
    check_model_input(Model(tiny(), wrong), '')
    check_model_input(Model(nn.Linear(1, 1), wrong), '')
    check_model_input(Model(loaded, nn.Identity()), '')


def test_a_checkpoint_of_the_model_remembers(loaded, tmp_path):
    """So an evaluation with other colors is noticed as well."""
    torch.save(Model(loaded, nn.Identity()).state_dict(), tmp_path / 'epoch_1.pth')
    model = Model(tiny(1), ImgDataPreprocessor(MEAN, STD))
    model.load_state_dict(torch.load(tmp_path / 'epoch_1.pth'), strict=False)
    with pytest.raises(ValueError, match='would get BGR'):
        check_model_input(model, '')
