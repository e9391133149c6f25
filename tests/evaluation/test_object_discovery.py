"""Object discovery on made cases."""

import pytest
import torch

from flsl_mm.evaluation.object_discovery import (
    chance_corloc,
    connected_component,
    correctly_localized,
    discover_object,
    fiedler_vector,
    patch_box,
)


def make_image(place=(2, 3, 6, 7), grid=(9, 12), noise=0.05, seed=0):
    """Features (h, w, 8): one kind inside the rows and columns of ``place``, another outside."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.eye(8)[:2]
    inside = torch.zeros(grid, dtype=torch.long)
    inside[place[0] : place[2], place[1] : place[3]] = 1
    return kinds[inside] + noise * torch.randn(*grid, 8, generator=generator), inside.bool()


@pytest.mark.parametrize('place', [(2, 3, 6, 7), (0, 0, 3, 3), (5, 8, 9, 12), (4, 4, 5, 5)])
def test_an_object_is_found_whole(place):
    features, inside = make_image(place)
    assert torch.equal(discover_object(features), inside)


def test_the_cut_solves_the_generalised_eigenproblem():
    features, _ = make_image(noise=0.5)
    features = features.flatten(0, 1)
    vector = fiedler_vector(features)
    unit = torch.nn.functional.normalize(features.double(), dim=-1)
    edges = torch.where(unit @ unit.T > 0.2, 1.0, 1e-5).double()
    degree = edges.sum(-1)
    left = degree * vector - edges @ vector
    value = (left @ vector) / ((degree * vector) @ vector)
    torch.testing.assert_close(left, value * degree * vector, atol=1e-8, rtol=0)
    assert abs(float(degree @ vector)) < 1e-8  # orthogonal to the constant


def test_only_the_part_round_the_seed():
    mask = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 1]]).bool()
    assert connected_component(mask, (0, 0)).int().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_box_in_pixels():
    _, inside = make_image((2, 3, 6, 7))
    assert patch_box(inside, 16, (144, 192)).tolist() == [48, 32, 112, 96]
    assert patch_box(inside, 16, (90, 100)).tolist() == [48, 32, 100, 90]


def test_localised_from_half_an_overlap():
    box = torch.tensor([0.0, 0, 10, 10])
    assert correctly_localized(box, torch.tensor([[0.0, 0, 10, 5], [90, 90, 99, 99]]))  # 50 / 100
    assert not correctly_localized(box, torch.tensor([[0.0, 0, 10, 4.9]]))


def test_nothing_to_cut_is_the_whole_image():
    assert discover_object(torch.ones(4, 5, 3)).all()
    assert discover_object(torch.eye(20).view(4, 5, 20)).all()


def test_chance_is_the_best_box_in_the_middle():
    middle, corner = torch.tensor([[25.0, 25, 75, 75]]), torch.tensor([[0.0, 0, 20, 20]])
    sizes = [(100, 100)] * 4
    assert chance_corloc([middle, middle, middle, corner], sizes) == 0.75
    # An object as wide as the image and half as high: no box in the middle of one size overlaps both by half.
    flat = torch.tensor([[0.0, 0, 100, 100]])
    assert chance_corloc([middle, middle, flat, corner], sizes) == 0.5
    assert chance_corloc([torch.cat([middle, flat])] * 2, sizes[:2]) == 1
