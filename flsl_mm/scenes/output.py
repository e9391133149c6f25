"""Shared by the writers of scenes: whole-folder writes, images, and the contact sheet."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.functional import resize
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks, make_grid

from flsl_mm.datasets.palette import davis_palette
from flsl_mm.utils.fileio import open_regular

Box = tuple[int, int, int, int]
Color = tuple[int, int, int]

MANIFEST = 'scenes.json'
PREVIEW = 'preview.png'
MAX_PREVIEWS = 24
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class TreeRequest:
    """What to write.

    Args:
        num: Number of images, videos or sequences, 2 or more.
        seed: Seed of the scenes, 0 or more.
        size_hw: Height and width in pixels, at least 32 each.
        frames: Frames of a video or sequence; for the layouts of images without meaning.
        val_fraction: Share of the images or videos in the split ``val``, each split having at least one.
        image_folder: Whether UAVDT's frames lie in a folder ``img1`` of their sequence.
        progress: Whether to show a progress bar.
    """

    num: int
    seed: int
    size_hw: tuple[int, int]
    frames: int = 1
    val_fraction: float = 0.25
    image_folder: bool = False
    progress: bool = False

    def split_sizes(self) -> dict[str, int]:
        """Return the number of images or videos in each split."""
        num_val = min(max(round(self.num * self.val_fraction), 1), self.num - 1)
        return {'train': self.num - num_val, 'val': num_val}


@dataclass(frozen=True)
class Written:
    """What a writer wrote: lines that say it, and images (H, W, 3) uint8 with their annotations drawn in."""

    lines: list[str]
    previews: list[np.ndarray]


@contextmanager
def new_folder(out: Path, force: bool) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``out`` once everything in it has been written.

    After an error or an interrupt the temporary folder is removed, and what ``out`` held before is as it was.

    Args:
        out: The folder to make.
        force: Whether a folder may be replaced of which an earlier run wrote every file, as its manifest lists them.

    Raises:
        FileExistsError: If ``out`` is a file, or a folder that holds something and may not be replaced.
    """
    out = Path(os.path.abspath(out))
    if out.is_symlink():
        raise FileExistsError(f'{out} is a link: remove it, or name the folder itself')
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'{out} is a file: name a folder to write to')
    occupied = out.is_dir() and any(out.iterdir())
    if occupied and not force:
        raise FileExistsError(f'{out} is not empty: choose another folder, or give --force to replace it')
    if occupied and (foreign := foreign_file(out)):
        raise FileExistsError(f'{out} holds {foreign}, which make-scenes did not write: remove {out} yourself')
    fresh, old = (out.parent / f'.{out.name[:50]}.{os.urandom(8).hex()}.{kind}' for kind in ('new', 'old'))
    fresh.mkdir(parents=True)
    try:
        yield fresh
        list_files(fresh)
        if occupied:
            out.rename(old)
        fresh.rename(out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_manifest(folder: Path, **entries: object) -> None:
    """Write how a tree was made; :func:`new_folder` adds a list of its files."""
    (folder / MANIFEST).write_text(json.dumps(entries, indent=1) + '\n')


def list_files(folder: Path) -> None:
    """Add the files of a tree to its manifest, which tells it from a folder of somebody else."""
    entries = read_manifest(folder)
    if entries:
        write_manifest(folder, **entries, files=files_in(folder))


def files_in(folder: Path) -> list[str]:
    """List the files and links of a folder, but for the manifest, by path below it."""
    found = (os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
    links = (os.path.join(root, name) for root, names, _ in os.walk(folder) for name in names)
    found = [*found, *filter(os.path.islink, links)]
    return sorted(name for name in (os.path.relpath(path, folder) for path in found) if name != MANIFEST)


def foreign_file(folder: Path) -> str | None:
    """Name a file of a folder that its manifest does not list; None if there is none."""
    listed = read_manifest(folder).get('files')
    if not isinstance(listed, list):
        return next(iter(files_in(folder)), MANIFEST)
    written = {name for name in listed if isinstance(name, str)}
    return next((name for name in files_in(folder) if name not in written), None)


def read_manifest(folder: Path) -> dict:
    """Read what :func:`write_manifest` wrote; empty where somebody else did."""
    try:
        with open_regular(folder / MANIFEST) as file:
            content = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def save_image(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W, 3) uint8 RGB in the format that its name ends with; its folder must exist."""
    Image.fromarray(image).save(path, quality=_JPEG_QUALITY)


def tint_instances(image: np.ndarray, instance_map: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) uint8 whose instances (H, W) are tinted in palette colors and outlined in white."""
    numbers = np.unique(instance_map[instance_map > 0])
    if not len(numbers):
        return image
    masks = torch.from_numpy(instance_map == numbers[:, None, None])
    colors = [tuple(color) for color in davis_palette()[numbers % 256].tolist()]
    tinted = draw_segmentation_masks(_to_tensor(image), masks, alpha=0.35, colors=colors)
    edge = np.zeros(instance_map.shape, bool)
    edge[:, 1:] |= instance_map[:, 1:] != instance_map[:, :-1]
    edge[1:] |= instance_map[1:] != instance_map[:-1]
    tinted[:, edge] = 255
    return _to_image(tinted)


def draw_boxes(image: np.ndarray, boxes: Sequence[tuple[Box, Color]]) -> np.ndarray:
    """Return an image (H, W, 3) uint8 with boxes, left, top, width, height, drawn in their colors."""
    if not boxes:
        return image
    corners = torch.tensor([(left, top, left + width - 1, top + height - 1) for (left, top, width, height), _ in boxes])
    line = 1 + image.shape[1] // 800
    return _to_image(draw_bounding_boxes(_to_tensor(image), corners, colors=[color for _, color in boxes], width=line))


def contact_sheet(images: Sequence[np.ndarray], sheet_width: int = 1536) -> np.ndarray:
    """Lay images of one size out in a grid, larger ones reduced to a quarter of the sheet's width.

    Args:
        images: (H, W, 3) uint8 each, at least one.
        sheet_width: Greatest width of the sheet in pixels.

    Returns:
        (rows * h, columns * w, 3) uint8, unused places black.
    """
    height, width = images[0].shape[:2]
    ratio = min(1.0, sheet_width / 4 / width)
    tiles = resize(_to_tensor(np.stack(images)), [round(height * ratio), round(width * ratio)], antialias=True)
    return _to_image(make_grid(tiles, nrow=min(sheet_width // tiles.shape[-1], len(tiles)), padding=0))


def _to_tensor(image: np.ndarray) -> torch.Tensor:
    """Turn (..., H, W, 3) into a tensor (..., 3, H, W)."""
    return torch.from_numpy(image).movedim(-1, -3)


def _to_image(tensor: torch.Tensor) -> np.ndarray:
    """Turn a tensor (3, H, W) into (H, W, 3)."""
    return np.ascontiguousarray(tensor.movedim(0, -1).numpy())
