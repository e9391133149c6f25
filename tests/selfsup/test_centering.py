"""Target centering: by hand, what it removes, what it leaves, and over processes."""

from __future__ import annotations

import pytest
import torch

from flsl_mm.selfsup import distributed
from flsl_mm.selfsup.centering import TargetCentering, cell_of, image_mean
from tests.builders.toy_flsl import toy_model, toy_views

ALL = torch.ones(1, 4, dtype=torch.bool)
CORNERS = torch.tensor([[[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]]])


def test_the_images_mean_by_hand():
    logits = torch.tensor([[[1.0, 0.0], [3.0, 4.0], [100.0, 100.0]]])
    counted = torch.tensor([[True, True, False]])
    assert image_mean(logits, counted).tolist() == [[[2.0, 2.0]]]
    assert image_mean(logits, torch.zeros(1, 3, dtype=torch.bool)).tolist() == [[[0.0, 0.0]]]


def test_cells_are_numbered_in_raster_order_and_places_outside_go_to_the_nearest():
    places = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [-0.5, 1.5]])
    assert cell_of(places, 2).tolist() == [0, 1, 2, 3, 2]


def test_running_means_by_hand():
    centering = TargetCentering(1, image=0.0, cells=1, momentum=0.75)
    logits = torch.tensor([[[1.0], [3.0], [5.0], [7.0]]])
    assert centering(logits, CORNERS, ALL).flatten().tolist() == [-3, -1, 1, 3]  # the first step's mean, 4
    assert centering(logits + 4, CORNERS, ALL).flatten().tolist() == [0, 2, 4, 6]  # 0.75 * 4 + 0.25 * 8
    centering(logits + 1000, CORNERS, ~ALL)
    assert float(centering.means) == 5, 'queries outside count in no mean'


def test_what_is_place_or_image_alone_goes_and_the_rest_stays():
    generator = torch.Generator().manual_seed(0)
    of_place = torch.randn(1, 4, 5, generator=generator)
    of_image = torch.randn(8, 1, 5, generator=generator)
    content = torch.randn(8, 4, 5, generator=generator)
    content = content - content.mean(0, keepdim=True)
    content = content - content.mean(1, keepdim=True)
    centered = TargetCentering(5, cells=2)(of_place + of_image + content, CORNERS.expand(8, -1, -1), ALL.expand(8, -1))
    torch.testing.assert_close(centered, content, atol=1e-5, rtol=0)


def test_a_share_of_the_images_mean():
    logits = torch.tensor([[[1.0], [3.0], [5.0], [7.0]]])
    assert TargetCentering(1, image=0.5, cells=0)(logits, None, ALL).flatten().tolist() == [-1, 1, 3, 5]


def test_numbers_that_are_not_finite_do_not_stay():
    centering = TargetCentering(1, image=0.0, cells=1)
    centering(torch.ones(1, 4, 1), CORNERS, ALL)
    centering(torch.full((1, 4, 1), torch.nan), CORNERS, ALL)
    assert float(centering.means) == 1


def test_means_are_over_all_processes(monkeypatch):
    monkeypatch.setattr(distributed, 'get_world_size', lambda: 2)
    monkeypatch.setattr(torch.distributed, 'all_reduce', lambda data: data.add_(torch.tensor([[44.0, 4.0]])))
    centering = TargetCentering(1, image=0.0, cells=1)
    centering(torch.ones(1, 4, 1), CORNERS, ALL)
    assert float(centering.means) == 6  # (4 * 1 + 44) / (4 + 4)


def test_is_in_the_models_checkpoint_and_changes_its_targets():
    plain = toy_model(anchor_width=0.1)
    model = toy_model(anchor_width=0.1, target_centering=dict(cells=2))
    assert {'target_centering.means', 'target_centering.seen'} <= set(model.state_dict())
    views = toy_views(model)
    torch.manual_seed(0)
    before = plain.loss(views)
    torch.manual_seed(0)
    after = model.loss(views)
    assert before['teacher_entropy'] != after['teacher_entropy']
    assert model.target_centering.seen.all()
    after['loss'].backward()


def test_needs_no_places_without_cells():
    model = toy_model(target_centering=dict(cells=0))
    assert model.loss(toy_views(model))['loss'].isfinite()


@pytest.mark.parametrize('options', [dict(image=1.5), dict(cells=-1), dict(momentum=1.0)])
def test_impossible_options(options):
    with pytest.raises(ValueError, match='target_centering'):
        TargetCentering(3, **options)


def test_cells_without_places_are_refused():
    with pytest.raises(ValueError, match='anchor_width'):
        toy_model(target_centering=dict())
