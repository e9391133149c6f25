"""Tiny data whose truth is in the colors: mean color knows all of it, position and constants nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from flsl_mm.models import BackboneSpec

PATCH = 8
SIDE = 64
COLORS = np.array([(r, g, b) for r in (0, 120, 255) for g in (0, 120, 255) for b in (0, 120, 255)][:-1], np.uint8)
"""26 colors; white is the background of the boxes."""

SPEC = BackboneSpec.from_arch(
    dict(embed_dim=16, depth=2, num_heads=2),
    patch_size=PATCH,
    img_size=SIDE,
    in_channels=3,
    pos_embed='sincos',
    pos_resize='offset',
)


def write_segmentation(root: Path, num_classes: int = 4, images: int = 12, side: int = SIDE) -> Path:
    """Write images of whole patches, each of a drawn class's color, and their masks; 9 is unannotated."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for index in range(images):
            labels = rng.integers(num_classes, size=(side // PATCH, side // PATCH)).astype(np.uint8)
            mask = labels.repeat(PATCH, 0).repeat(PATCH, 1)
            Image.fromarray(COLORS[3 * mask]).save(root / 'images' / split / f'{index}.png')
            mask[:PATCH, :PATCH] = 9
            Image.fromarray(mask).save(root / 'annotations' / split / f'{index}.png')
    return root


def write_classes(root: Path, num_classes: int = 3, images: int = 12) -> Path:
    """Write class folders of images with one color a class and gray patches in random places."""
    rng = np.random.default_rng(1)
    for split in ('train', 'val'):
        for label in range(num_classes):
            folder = root / split / f'class{label}'
            folder.mkdir(parents=True)
            for index in range(images):
                pixels = np.broadcast_to(COLORS[3 * label], (SIDE, SIDE, 3)).copy()
                top, left = rng.integers(0, SIDE - PATCH, 2)
                pixels[top : top + PATCH, left : left + PATCH] = 128
                Image.fromarray(pixels).save(folder / f'{index}.png')
    return root


def write_boxes(root: Path, num_classes: int = 20, images: int = 80, seed: int = 2) -> Path:
    """Write white images with a box of the color of its category at a random place; returns the COCO file."""
    rng = np.random.default_rng(seed)
    (root / 'images').mkdir(parents=True)
    entries, boxes = [], []
    for index in range(images):
        label = index % num_classes
        width, height = 8 * rng.integers(2, 4, 2)
        left, top = (8 * int(rng.integers(1, (SIDE - extent) // 8)) for extent in (width, height))
        pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
        pixels[top : top + height, left : left + width] = COLORS[label]
        Image.fromarray(pixels).save(root / 'images' / f'{index}.png')
        entries.append(dict(id=index, file_name=f'{index}.png', width=SIDE, height=SIDE))
        box = [left, top, int(width), int(height)]
        boxes.append(
            dict(id=index, image_id=index, category_id=label + 1, bbox=box, area=int(width * height), iscrowd=0)
        )
    categories = [dict(id=label + 1, name=f'color {label}') for label in range(num_classes)]
    path = root / 'boxes.json'
    path.write_text(json.dumps(dict(images=entries, annotations=boxes, categories=categories)))
    return path
