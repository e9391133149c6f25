"""The probe on generated scenes: what knows the objects scores 1, position and constants chance."""

from dataclasses import replace

import pytest
import torch

from flsl_mm.evaluation.probes.scenes import ScenesProbe
from flsl_mm.evaluation.probes.sources import Constant, PositionAlone
from flsl_mm.scenes.painter import render_scene
from tests.builders.probe_data import PATCH, SPEC


class Oracle:
    """Recognizes the scenes and gives the truth."""

    name = 'truth'
    patch_size = PATCH

    def __init__(self, probe: ScenesProbe) -> None:
        self.scenes = probe.images.float() / 255
        self.owners, self.classes = probe.patches(PATCH)

    def __call__(self, images):
        index = torch.tensor([int((self.scenes - image).abs().flatten(1).sum(1).argmin()) for image in images])
        owners, classes = self.owners[index].clamp_min(0), self.classes[index].clamp_min(0)
        return torch.cat([10 * torch.eye(6)[classes], torch.eye(40)[owners]], dim=-1)


@pytest.fixture(scope='module')
def probe():
    return ScenesProbe(num_scenes=12, size=64)


def test_the_truth_scores_one_and_constants_chance(probe):
    scores = probe(Oracle(probe))
    assert scores['matched_auc'].value == pytest.approx(1, abs=0.02)  # a patch may show a bit of its neighbor
    assert scores['knn_accuracy'].value == scores['linear_accuracy'].value == 1
    scores, chance = probe(Constant(PATCH)), probe.chance(PATCH)
    assert scores['matched_auc'].value == chance['matched_auc'] == 0.5
    assert scores['knn_accuracy'].value <= chance['knn_accuracy']
    assert scores['linear_accuracy'].value <= chance['linear_accuracy']


@pytest.mark.parametrize('spec', [SPEC, replace(SPEC, img_size=224)])
def test_position_scores_chance(probe, spec):
    """Also where the table was made for another size and is resized."""
    scores, chance = probe(PositionAlone(spec)), probe.chance(PATCH)
    assert scores['matched_auc'].value == chance['matched_auc']
    for key in ('knn_accuracy', 'linear_accuracy'):
        assert scores[key].value < chance[key] + 3 * scores[key].error


def test_scenes_are_held_out_and_their_own_for_each_seed(probe):
    assert torch.equal(probe.images[3], torch.from_numpy(render_scene(0, 3, (64, 64), 'val').image).permute(2, 0, 1))
    assert not torch.equal(ScenesProbe(2, 64, seed=1).images[0], probe.images[0])


def test_sizes_of_whole_patches(probe):
    with pytest.raises(ValueError, match='scenes of 64 pixels are not a multiple of the patch size 12'):
        probe.chance(12)
