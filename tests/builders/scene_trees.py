"""What the tests of the written trees share: small requests, and how a tree is read back."""

from pathlib import Path

import numpy as np
from PIL import Image

from flsl_mm.scenes.output import TreeRequest

SMALL = dict(seed=3, size_hw=(48, 64))
REQUESTS = {
    'images': TreeRequest(num=4, **SMALL),
    'coco': TreeRequest(num=4, **SMALL),
    'uavdt': TreeRequest(num=4, frames=2, val_fraction=0.5, **SMALL),
    'davis': TreeRequest(num=2, frames=5, **SMALL),
    'segmentation': TreeRequest(num=4, **SMALL),
}


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder by its name below it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    """Return an image's values."""
    return np.asarray(Image.open(path))


def assert_jpeg_of(path: Path, image: np.ndarray) -> None:
    """JPEG keeps fine color noise only roughly; another scene differs by 30 levels and more."""
    assert np.abs(pixels(path).astype(int) - image).mean() < 12
