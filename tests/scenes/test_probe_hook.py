"""The probe on scenes: what it computes for features that know everything, nothing, or too little to tell classes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from flsl_mm.evaluation.patch_probe import patch_owners
from flsl_mm.scenes.painter import render_scene
from flsl_mm.scenes.probe_hook import FLSLPatchProbeHook

SIZE, PATCH = 48, 8


@pytest.fixture
def hook():
    return FLSLPatchProbeHook(num_scenes=6, size=SIZE, num_pictures=2)


def model_with(features):
    """Make a model whose teacher gives (2n, N, C) features, a picture after another."""
    given = iter(features)

    def backbone(inputs):
        return [torch.stack([next(given) for _ in inputs])]

    backbone.patch_size = PATCH
    teacher = SimpleNamespace(backbone=backbone)
    return SimpleNamespace(teacher=teacher, data_preprocessor=lambda data, training: data)


def oracle(hook):
    """Return features that tell objects apart exactly (2n, N, C), and those that tell classes apart."""
    _, instances, labels = hook.scenes()
    owners = patch_owners(instances, PATCH)
    objects = torch.nn.functional.one_hot(owners.clamp(min=0), 9).float()
    classes = torch.stack(
        [torch.tensor([-1, *of_scene])[own.clamp(min=0)] for of_scene, own in zip(labels, owners, strict=True)]
    )
    return objects, torch.nn.functional.one_hot(classes + 1, 7).float()


def test_scenes_are_those_that_training_never_shows(hook):
    images, instances, labels = hook.scenes()
    assert (images.shape, images.dtype) == ((12, 3, SIZE, SIZE), torch.uint8)
    assert instances.shape == (12, SIZE, SIZE)
    scene = render_scene(0, 5, (SIZE, SIZE), split='val')
    np.testing.assert_array_equal(images[5].permute(1, 2, 0), scene.image)
    np.testing.assert_array_equal(instances[5], scene.instance_map)
    assert labels[5].tolist() == scene.labels.tolist()


def test_features_that_know_the_objects(hook):
    look = hook.look(model_with(oracle(hook)[0]))
    assert look['auc'] == pytest.approx(1)
    _, instances, _ = hook.scenes()
    owners = patch_owners(instances, PATCH)
    for found, own in zip(look['clusters'], owners[:2], strict=True):
        # The clusters are the objects, by whatever number.
        assert len({(a, b) for a, b in zip(found, own.clamp(min=0).tolist(), strict=True)}) == len(set(found))


def test_features_that_know_the_classes():
    # Enough scenes for 20 neighbours of every class.
    hook = FLSLPatchProbeHook(num_scenes=40, size=SIZE, num_pictures=1)
    look = hook.look(model_with(oracle(hook)[1]))
    assert look['knn'] == 1
    assert 0 < look['chance'] < 0.6


def test_constant_features_are_at_chance(hook):
    look = hook.look(model_with(torch.ones(12, (SIZE // PATCH) ** 2, 4)))
    assert look['auc'] == pytest.approx(0.5)
    assert look['knn'] <= 0.6
    assert {label for labels in look['clusters'] for label in labels} == {0}


def test_the_picture_shows_input_objects_and_both_looks(hook, tmp_path):
    flat = hook.look(model_with(torch.ones(12, (SIZE // PATCH) ** 2, 4)))['clusters']
    objects = hook.look(model_with(oracle(hook)[0]))['clusters']
    grid = np.array(Image.open(hook.draw(flat, objects, tmp_path / 'picture.png'))).astype(int)
    scene = render_scene(0, 0, (SIZE, SIZE), split='val')
    tiles = [grid[28 : 28 + 2 * SIZE, left : left + 2 * SIZE][::2, ::2] for left in range(6, 4 * 102, 102)]
    np.testing.assert_array_equal(tiles[0], scene.image)
    # Background is grey in all three; the objects are coloured where they are, unless all is one cluster.
    colored = [np.ptp(tile - 0.4 * scene.image, axis=2) > 12 for tile in tiles[1:]]
    np.testing.assert_array_equal(colored[0], scene.instance_map > 0)
    assert not colored[1].any()
    assert colored[2][scene.instance_map > 0].mean() > 0.5
