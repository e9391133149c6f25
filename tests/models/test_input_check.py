"""Images as in the backbone's training, or a line that says how they differ."""

import re

import pytest

from flsl_mm.models.input_check import input_mismatch
from flsl_mm.models.spec import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec

IMAGENET = BackboneSpec(mean=IMAGENET_MEAN, std=IMAGENET_STD)
CAFFE = [value / 255 for value in (103.53, 116.28, 123.675)]


def test_equal_up_to_rounding_and_the_red_of_davis():
    assert input_mismatch(IMAGENET, [123.675 / 255, 116.28 / 255, 103.53 / 255], IMAGENET_STD) is None
    assert input_mismatch(IMAGENET, IMAGENET_MEAN, (0.228, 0.224, 0.225)) is None


@pytest.mark.parametrize('said', [BackboneSpec(), BackboneSpec(mean=IMAGENET_MEAN)])
def test_a_file_that_does_not_say_is_not_compared(said):
    assert input_mismatch(said, CAFFE, [1 / 255] * 3, bgr=True) is None


@pytest.mark.parametrize(
    ('mean', 'std', 'bgr', 'line'),
    [
        (IMAGENET_MEAN, IMAGENET_STD, True, r'would get BGR of mean \[0.485'),
        (CAFFE, IMAGENET_STD, False, r'would get RGB of mean \[0.406, 0.456, 0.485\]'),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False, r'mean \[0.5, 0.5, 0.5\] and std \[0.5'),
        ((0.0, 0.0, 0.0), (1 / 255,) * 3, False, r'mean \[0.0, 0.0, 0.0\] and std \[0.004'),
        (IMAGENET_MEAN, (0.26862954, 0.26130258, 0.27577711), False, r'std \[0.269'),
    ],
)
def test_differences_are_named(mean, std, bgr, line):
    assert re.search(line, input_mismatch(IMAGENET, mean, std, bgr))
