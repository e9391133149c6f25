"""Write procedural scenes with masks of classes, for semantic segmentation."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from flsl_mm.datasets.palette import write_palette_mask

from .output import MAX_PREVIEWS, TreeRequest, Written, save_image, tint_instances
from .painter import CLASSES, Scene, render_scene

SEGMENTATION_CLASSES = ('background', *CLASSES)
"""What the numbers in masks stand for, from 0."""


def class_map(scene: Scene) -> np.ndarray:
    """Return the class of each pixel (H, W), uint8: 0 is the background, class i + 1 is ``CLASSES[i]``."""
    return np.concatenate([[0], scene.labels + 1]).astype(np.uint8)[scene.instance_map]


def write_segmentation(folder: Path, request: TreeRequest) -> Written:
    """Write images ``images/train/000000.jpg`` with masks ``annotations/train/000000.png`` (palette), and ``val``."""
    previews, lines = [], []
    with tqdm(total=request.num, unit='image', disable=None if request.progress else True) as bar:
        for split, number in request.split_sizes().items():
            images, masks = (folder / kind / split for kind in ('images', 'annotations'))
            images.mkdir(parents=True)
            masks.mkdir(parents=True)
            for index in range(number):
                scene = render_scene(request.seed, index, request.size_hw, split)
                save_image(images / f'{index:06d}.jpg', scene.image)
                write_palette_mask(masks / f'{index:06d}.png', class_map(scene))
                if len(previews) < MAX_PREVIEWS:
                    previews.append(tint_instances(scene.image, scene.instance_map))
                bar.update()
            lines.append(f'{split}: {number} images with masks')
    return Written(lines, previews)
