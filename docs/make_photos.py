"""Draw the first picture of README.md: photographs as random weights and as a backbone see them.

    python docs/make_photos.py docs/first_look/backbone.pth docs/photos.jpg

Each column is a photograph that no training has seen. Below it, features as colors (their main directions in that
photograph) and the similarity of all patches to the one in the small circle, first of random weights, then of
the backbone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import flsl_mm
from flsl_mm.evaluation.features import image_tensor
from flsl_mm.evaluation.probes.sources import random_weights
from flsl_mm.visualization.paint_clusters import enlarged
from flsl_mm.visualization.panels import heat_map, mark_points
from flsl_mm.visualization.pca import color_basis
from flsl_mm.visualization.similarity import similarity_map

IMAGES = Path(__file__).parent / 'first_look' / 'images'
POINTS = {
    'flower.jpg': (0.5, 0.5),
    'rocket.jpg': (0.5, 0.52),
    'chelsea.jpg': (0.72, 0.4),
    'china.jpg': (0.55, 0.3),
    'coffee.jpg': (0.8, 0.4),
}
"""Height and width of the patch that the others are compared with, in parts of the photograph."""

PANEL_HW = (152, 216)
SIDE = 224
GAP, BAND = 6, 150


def read_photo(path: Path, patch_size: int) -> Image.Image:
    """Read a photograph, its shorter side ``SIDE`` pixels, cut to the proportions of a panel and to whole patches."""
    with Image.open(path) as file:
        photo = file.convert('RGB')
    factor = max(SIDE / photo.height, SIDE * PANEL_HW[1] / PANEL_HW[0] / photo.width)
    width = round(SIDE * PANEL_HW[1] / PANEL_HW[0]) // patch_size * patch_size
    size = round(photo.width * factor) + 1, round(photo.height * factor) + 1
    resized = photo.resize(size, Image.Resampling.LANCZOS)
    left, top = (resized.width - width) // 2, (resized.height - SIDE) // 2
    return resized.crop((left, top, left + width, top + SIDE))


@torch.no_grad()
def rows_of(model, photos: list[Image.Image], points: list[tuple[float, float]]) -> list[list[np.ndarray]]:
    """Return two rows of panels: features as colors, and similarities to the points."""
    features = [model(image_tensor(photo)[None])[0] for photo in photos]
    colors, similar = [], []
    for feature, (y, x) in zip(features, points, strict=True):
        h, w = feature.shape[:2]
        size_hw = (h * model.patch_size, w * model.patch_size)
        rgb = flsl_mm.pca_rgb(feature, color_basis(feature.flatten(0, 1)))
        colors.append(enlarged((255 * rgb).byte().numpy(), size_hw))
        heat = heat_map(similarity_map(feature, (int(y * h), int(x * w))).numpy(), size_hw)
        similar.append(mark_points(heat, [((int(x * w) + 0.5) / w, (int(y * h) + 0.5) / h)]))
    return [colors, similar]


def draw(rows: list[list[np.ndarray]], titles: list[str]) -> Image.Image:
    """Lay rows of panels out, each with its title at the left."""
    height, width = PANEL_HW
    columns = len(rows[0])
    result = Image.new('RGB', (BAND + columns * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP), 'white')
    pen, font = ImageDraw.Draw(result), ImageFont.load_default(18)
    for number, (row, title) in enumerate(zip(rows, titles, strict=True)):
        top = number * (height + GAP)
        pen.multiline_text((BAND / 2, top + height / 2), title, (40, 40, 40), font, anchor='mm', align='center')
        for place, image in enumerate(row):
            shown = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
            result.paste(shown, (BAND + place * (width + GAP), top))
    return result


def main(argv: list[str] | None = None) -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('backbone', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--images', type=Path, default=IMAGES, help='folder of the photographs')
    args = parser.parse_args(argv)
    model = flsl_mm.load_model(args.backbone, logger='silent')
    photos = [read_photo(args.images / name, model.patch_size) for name in POINTS]
    points = list(POINTS.values())
    shown = [mark_points(np.array(photo), [point[::-1]]) for photo, point in zip(photos, points, strict=True)]
    rows = [shown, *rows_of(random_weights(model.spec), photos, points), *rows_of(model, photos, points)]
    kinds = ['features\nas colors', 'similarity to\nthe point']
    titles = ['photo', *(f'random weights:\n{kind}' for kind in kinds), *(f'FLSL:\n{kind}' for kind in kinds)]
    draw(rows, titles).save(args.out, quality=90)


if __name__ == '__main__':
    main()
