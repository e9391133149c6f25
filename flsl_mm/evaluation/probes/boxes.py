"""Read images and boxes of a COCO annotation file for the probes that need boxes."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from flsl_mm.datasets.image_file import ImageError

from ..features import image_tensor


@dataclass(frozen=True)
class BoxedImage:
    """An image and its boxes.

    Attributes:
        path: The file.
        image_hw: Height and width in pixels.
        boxes: Corners x1, y1, x2, y2 in pixels (N, 4), N at least 1.
        labels: Their categories, as indices into the file's list (N,).
    """

    path: Path
    image_hw: tuple[int, int]
    boxes: Tensor
    labels: Tensor

    def __str__(self) -> str:
        """Name it by its path."""
        return str(self.path)

    def read(self) -> Tensor:
        """Read the image as of :func:`~flsl_mm.evaluation.features.image_tensor`.

        Raises:
            ImageError: If it cannot be read, or has another size than the annotations say.
        """
        image = image_tensor(self.path)
        if tuple(image.shape[1:]) != self.image_hw:
            sizes = [f'{width}x{height}' for height, width in (image.shape[1:], self.image_hw)]
            raise ImageError(f'it is {sizes[0]}, and {sizes[1]} in the annotations')
        return image


def read_boxed_images(annotations: str | os.PathLike, folder: str | os.PathLike) -> tuple[list[BoxedImage], list[str]]:
    """Read the images of a COCO annotation file that have boxes; crowds and boxes without area are left out.

    Args:
        annotations: COCO annotation file.
        folder: Folder that its file names are relative to.

    Returns:
        The images, and the names of the categories.

    Raises:
        FileNotFoundError: If the file, the folder or all images are missing.
        ValueError: If it is not a COCO annotation file or has no box.
    """
    content = _read_json(Path(annotations))
    try:
        index = {category['id']: number for number, category in enumerate(content['categories'])}
        names = [str(category['name']) for category in content['categories']]
        _check_unique(content)
        found: dict[int, list] = {}
        for entry in content['annotations']:
            if entry.get('iscrowd') not in (None, 0, 1):
                raise ValueError(f'iscrowd is {entry["iscrowd"]!r}, neither 0 nor 1')
            x, y, width, height = entry['bbox']
            if width > 0 and height > 0 and not entry.get('iscrowd'):
                box = [x, y, x + width, y + height]
                found.setdefault(entry['image_id'], []).append((box, index[entry['category_id']]))
        images = [
            BoxedImage(
                Path(folder) / image['file_name'],
                (image['height'], image['width']),
                torch.tensor([box for box, _ in found[image['id']]], dtype=torch.float),
                torch.tensor([label for _, label in found[image['id']]]),
            )
            for image in content['images']
            if image['id'] in found
        ]
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'
        raise ValueError(f'{annotations} is not a COCO annotation file with boxes ({reason})') from None
    if not images:
        raise ValueError(f'{annotations} has no image with a box')
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'no image folder {folder}')
    if not any(image.path.is_file() for image in images):
        raise FileNotFoundError(
            f'none of the {len(images)} images of {annotations} is below {folder}, {images[0].path} for one: give the '
            'folder that its file names are relative to'
        )
    return images, names


def _check_unique(content: dict) -> None:
    """Raise ValueError if an image or a category is there twice: a figure would count it as two."""
    for part, key in (('images', 'id'), ('images', 'file_name'), ('categories', 'id')):
        values = [os.path.normpath(entry[key]) if key == 'file_name' else entry[key] for entry in content[part]]
        for value, count in Counter(values).most_common(1):
            if count > 1:
                raise ValueError(f'{count} {part} have the {key} {value!r}')


def _read_json(path: Path) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f'no annotation file {path}')
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f'{path} is not a JSON file: {error}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path} is not a COCO annotation file: it holds a {type(content).__name__}')
    return content
