"""The scenes as a data set for pretraining."""

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

from flsl_mm.scenes.dataset import FLSLScenes
from flsl_mm.scenes.painter import render_scene


def test_items_have_the_format_of_image_folders():
    dataset = DATASETS.build(dict(type='FLSLScenes', length=3, view_size=48))
    assert len(dataset) == 3
    item = dataset[2]
    assert item.keys() == {'inputs', 'img_path'}
    assert item['inputs'].shape == (3, 48, 48)
    assert item['inputs'].dtype == torch.uint8
    assert item['img_path'] == 'scenes://0/2'


def test_an_item_is_a_function_of_its_virtual_index():
    first, second = (FLSLScenes(length=3, seed=5, view_size=48) for _ in range(2))
    for virtual_index in (0, 4, 1, 3):
        assert torch.equal(first[virtual_index]['inputs'], second[virtual_index]['inputs'])
    # Later epochs crop the same scene anew.
    assert first[1]['img_path'] == first[4]['img_path']
    assert not torch.equal(first[1]['inputs'], first[4]['inputs'])
    with pytest.raises(IndexError, match='negative'):
        first[-1]


def test_whole_scene_is_the_training_scene():
    dataset = FLSLScenes(length=2, seed=3, view_size=64, scale=(1.0, 1.0), size=(64, 64))
    scene = render_scene(3, 1, (64, 64), split='train').image
    views = [dataset[virtual_index]['inputs'].permute(1, 2, 0).numpy() for virtual_index in range(1, 41, 2)]
    # A crop of the whole area with an aspect ratio near 1 is the scene itself, up to a pixel's resizing.
    assert min(np.abs(view.astype(int) - scene).mean() for view in views) < 6


def test_scenes_are_a_seventh_larger_than_the_view():
    assert [FLSLScenes(length=1, view_size=size).size for size in (224, 128)] == [(256, 256), (146, 146)]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(length=0), 'length'),
        (dict(length=1, seed=-1), 'seed'),
        (dict(length=1, scale=(0.9, 0.8)), 'scale'),
        (dict(length=1, size=(16, 64)), '32 pixels'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FLSLScenes(**arguments)
