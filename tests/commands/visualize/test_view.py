"""Views of an image: what sheets show, at any size of it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from flsl_mm.commands.visualize import view as module
from flsl_mm.commands.visualize.view import LEGEND, compute_view, panel_image, resized, sample_bases, sheet_rows
from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.evaluation.moved_copy import moved_back, moved_copy
from flsl_mm.visualization.paint_clusters import paint_clusters
from flsl_mm.visualization.panels import color_map, heat_map, mark_points
from flsl_mm.visualization.pca import color_basis, pca_rgb
from flsl_mm.visualization.similarity import aggregated_similarity, similarity_map
from tests.builders.checkpoints import tiny
from tests.builders.images import make_image


def pixels(width: int = 64, height: int = 48, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.array(make_image(width, height, seed))).permute(2, 0, 1)


@pytest.fixture(scope='module')
def models() -> list[FeatureExtractor]:
    backbones = dict(fine=tiny(3), coarse=tiny(4, patch_size=16))
    return [FeatureExtractor(backbone, name=name).eval() for name, backbone in backbones.items()]


@pytest.mark.parametrize(
    ('width', 'height', 'long_side', 'expected'),
    [
        (640, 480, 64, (48, 64)),
        (480, 640, 64, (64, 48)),
        (64, 48, 640, (48, 64)),  # not enlarged
        (640, 480, None, (192, 256)),  # 32 patches of 8
        (1500, 20, 80, (8, 80)),
        (3000, 1, 80, (8, 80)),
        (1, 1, None, (8, 8)),
    ],
)
def test_sizes_are_whole_patches_and_bounded(width, height, long_side, expected):
    assert resized(pixels(width, height), long_side, 8).shape == (3, *expected)


def test_one_basis_serves_all_images(models):
    images = [pixels(seed=seed) for seed in range(3)]
    fine, coarse = sample_bases(models, iter(images), None)
    expected = color_basis(torch.cat([models[0].features(image).flatten(0, 2) for image in images]))
    for ours, theirs in zip(fine, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert coarse is not None
    assert sample_bases(models, [], None) == [None, None]


def test_of_large_images_some_patches_are_taken(models):
    image = pixels()
    tokens = models[0].features(image).flatten(0, 2)
    (basis,) = sample_bases(models[:1], [image], None, patches=5)
    torch.testing.assert_close(basis.mean, color_basis(tokens[[0, 11, 23, 35, 47]]).mean)


def test_the_copy_is_seen_at_the_places_of_the_image(models):
    image = pixels()
    view = compute_view(models[0], image, None)
    assert [tuple(features.shape) for features in view.layers] == [(6, 8, 16)] * 2  # of every block
    torch.testing.assert_close(view.features, models[0].features(image)[0])
    copied = models[0].features(models[0].normalize(moved_copy(resized(image, None, 8), 8))[None])[0]
    torch.testing.assert_close(view.copied, moved_back(copied))


@pytest.mark.parametrize('kind', LEGEND)
@pytest.mark.parametrize(('width', 'height'), [(64, 48), (1, 1), (200, 9), (7, 150)])
def test_every_sheet_at_every_size(kind, width, height, models):
    image = pixels(width, height)
    rows = sheet_rows(kind, image, compute_view(models[0], image, 64), (10, 20, 40, 80), [(0.5, 0.5)])
    shapes = {panel.image.shape for row in rows for panel in row.panels}
    assert len(shapes) == 1
    across = module.PANELS_ACROSS.get(kind)
    assert max(next(iter(shapes))) == (module.PANEL_SIDE if kind in ('colors', 'object') else 600 // across)
    assert [len(row.panels) for row in rows] == {'clusters': [3, 1], 'layers': [2]}.get(kind, [1])
    assert kind in module.TITLES


def test_panels_show_what_the_functions_give(models):
    image, (model, _) = pixels(), models
    view = compute_view(model, image, None, color_basis(torch.randn(50, 16)))
    features = view.features

    def panels(kind, scales=(10,), points=()):
        (row,) = sheet_rows(kind, image, view, scales, points)
        return row.panels

    shown = panel_image(image, 200)
    labels = view.clusters_at(30).numpy()
    panel = panels('clusters', scales=(3, 30))[1]
    assert panel.title == f'scale 30: {labels.max() + 1} clusters'
    assert np.array_equal(panel.image, paint_clusters(shown, labels))

    size_hw = panel_image(image, module.PANEL_SIDE).shape[:2]
    (panel,) = panels('colors')
    assert np.array_equal(panel.image, color_map(pca_rgb(features, view.basis).numpy(), size_hw))

    size_hw = panel_image(image, 150).shape[:2]
    values = similarity_map(features, (2, 7))
    (panel,) = panels('similarity', points=[(0.99, 0.4)])
    assert panel.title == f'{values.min():.2f} to 1.00'
    assert np.array_equal(panel.image, mark_points(heat_map(values.numpy(), size_hw), [(0.99, 0.4)]))

    for number, (panel, of_layer) in enumerate(zip(panels('layers'), view.layers, strict=True), start=1):
        assert np.array_equal(panel.image, heat_map(aggregated_similarity(of_layer).numpy(), size_hw))
        assert panel.title.startswith(f'block {number}: ')


def test_points_without_being_asked_for_are_the_first_models(models):
    image = pixels()
    views = [compute_view(model, image, None) for model in models]
    points = module.central_points(views[0], (2.0, 300.0))
    assert len(points) == module.POINTS
    labels = views[0].clusters_at(300.0)  # at 2 all is one cluster
    assert int(views[0].clusters_at(2.0).max()) == 0
    found = [int(labels[int(down * 6), int(across * 8)]) for across, down in points]
    assert found == [0, 1, 2, 3]
