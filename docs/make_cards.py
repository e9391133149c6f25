"""Cut the small pictures of the cards on the home page: `python docs/make_cards.py` writes docs/cards/.

They come from generated scenes, with their true masks, and from the larger pictures of the guides.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flsl_mm.scenes.output import tint_instances
from flsl_mm.scenes.painter import render_scene

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 320, 180
FIGURES = {'FLSL': 0.297, 'color, position': 0.263, 'random': 0.225, 'color': 0.202, 'position': 0.140}
"""CamVid, patch 20-NN mIoU (docs/evidence.md)."""


def scene(index: int, side_hw: tuple[int, int] = (192, 192)):
    return render_scene(0, index, side_hw, split='val')


def mosaic() -> Image.Image:
    """Return eight scenes, as a folder of images."""
    card = Image.new('RGB', (WIDTH, HEIGHT), 'white')
    for place in range(8):
        tile = Image.fromarray(scene(place, (178, 158)).image).resize((79, 89))
        card.paste(tile, (80 * (place % 4) + 1, 90 * (place // 4) + 1))
    return card


def bars() -> Image.Image:
    """Return a few figures as bars."""
    card = Image.new('RGB', (WIDTH, HEIGHT), 'white')
    draw, font = ImageDraw.Draw(card), ImageFont.load_default(14)
    draw.text((WIDTH / 2, 16), 'CamVid, patches, 20-NN mIoU', (60, 60, 60), font, anchor='mm')
    for row, (name, value) in enumerate(FIGURES.items()):
        y = 36 + 28 * row
        draw.text((100, y + 9), name, (60, 60, 60), font, anchor='rm')
        draw.rectangle((108, y, 108 + 500 * value, y + 18), (15, 139, 141) if row == 0 else (190, 197, 205))
        draw.text((114 + 500 * value, y + 9), f'{value:.3f}', (60, 60, 60), font, anchor='lm')
    return card


def part(name: str, box: tuple[int, int, int, int]) -> Image.Image:
    """Return a part (left, top, right, bottom) of one of the guides' pictures."""
    return Image.open(DOCS / name).convert('RGB').crop(box).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def classes() -> Image.Image:
    """Return a scene with a color for each class."""
    painted = scene(1, (180, 320))
    numbers = np.concatenate([[0], painted.labels + 1])[painted.instance_map]
    return Image.fromarray(tint_instances(painted.image, numbers))


def main() -> None:
    """Write all cards."""
    folder = DOCS / 'cards'
    folder.mkdir(exist_ok=True)
    cards = {
        'pretraining': mosaic(),
        'evaluation': bars(),
        'visualization': part('visualization.png', (336, 444, 650, 620)),
        'detection': part('detections.jpg', (0, 192, 341, 384)),
        'own-data': part('objects.jpg', (0, 0, 379, 213)),
        'uavdt': part('uavdt.jpg', (0, 16, 212, 135)),
        'segmentation': classes(),
        'features': part('strip.jpg', (262, 8, 518, 152)),
    }
    for name, card in cards.items():
        card.save(folder / f'{name}.jpg', quality=85)


if __name__ == '__main__':
    main()
