"""Nearest neighbors by hand, and the sheet that shows them."""

import numpy as np
from PIL import Image

from flsl_mm.commands.embed.neighbors import draw_neighbors, nearest
from flsl_mm.commands.embed.table import Embeddings
from flsl_mm.visualization.sheet import LINE_HEIGHT, NAME_HEIGHT

MEAN = np.array([[2, 0], [0, 3], [1, 1], [-1, 0.1]], np.float32)


def embeddings(folder) -> Embeddings:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    for number, color in enumerate(colors[:3]):  # the last is gone
        Image.new('RGB', (30, 20), color).save(folder / f'{number}.png')
    names = [f'{number}.png' for number in range(4)]
    grid = np.ones((4, 2), int)
    return Embeddings(mean=MEAN, paths=names, grid_hw=grid, patch_start=np.arange(4), folder=str(folder))


def test_neighbors_are_in_order_of_the_cosine(tmp_path):
    found = nearest(embeddings(tmp_path), np.array([5.0, 0]), k=3, chunk=2)
    assert [index for index, _ in found] == [0, 2, 1]
    np.testing.assert_allclose([cosine for _, cosine in found], [1, 0.5**0.5, 0], atol=1e-6)
    # An image is not its own neighbor.
    found = nearest(embeddings(tmp_path), np.array([5.0, 0]), k=9, without=tmp_path / '0.png')
    assert [index for index, _ in found] == [2, 1, 3]


def test_the_sheet_shows_query_and_neighbors(tmp_path):
    given = embeddings(tmp_path)
    draw_neighbors(given, [(tmp_path / '0.png', [(1, 0.9), (2, 0.8), (3, 0.1)])], 'title', tmp_path / 'sheet.png')
    sheet = np.array(Image.open(tmp_path / 'sheet.png'))
    middle = sheet[NAME_HEIGHT + 2 * LINE_HEIGHT + 90]  # through the images' centers
    assert [tuple(middle[8 + column * 188 + 90]) for column in range(3)] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert tuple(middle[8 + 3 * 188 + 5]) == (225, 225, 225)
