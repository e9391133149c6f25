"""Write procedural scenes to the disk: the one entry point of all layouts, and image folders."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from flsl_mm.utils.terminal import open_progress
from flsl_mm.utils.version import __version__

from .coco import write_coco
from .davis import MIN_DAVIS_FRAMES, write_davis
from .output import (
    MAX_PREVIEWS,
    PREVIEW,
    TreeRequest,
    Written,
    contact_sheet,
    new_folder,
    save_image,
    write_manifest,
)
from .painter import render_scene
from .segmentation import write_segmentation
from .specs import check_seed, check_size
from .uavdt import write_uavdt


def write_images(folder: Path, request: TreeRequest) -> Written:
    """Write images without annotations, ``train/00/000000.jpg`` and so on, at most 1000 in a folder."""
    previews = []
    sizes = request.split_sizes()
    with open_progress(request.num, 'scenes', 'image', show=request.progress) as bar:
        for split, number in sizes.items():
            for index in range(number):
                scene = render_scene(request.seed, index, request.size_hw, split)
                path = folder / split / f'{index // 1000:02d}' / f'{index:06d}.jpg'
                path.parent.mkdir(parents=True, exist_ok=True)
                save_image(path, scene.image)
                if len(previews) < MAX_PREVIEWS:
                    previews.append(scene.image)
                bar.update()
    return Written([f'{split}: {number} images' for split, number in sizes.items()], previews)


WRITERS: dict[str, Callable[[Path, TreeRequest], Written]] = {
    'images': write_images,
    'coco': write_coco,
    'uavdt': write_uavdt,
    'davis': write_davis,
    'segmentation': write_segmentation,
}


def check_request(layout: str, request: TreeRequest) -> None:
    """Raise ValueError, in one line that says what to change, for a request that its layout cannot hold."""
    if layout not in WRITERS:
        raise ValueError(f'unknown layout {layout!r}: use one of {", ".join(WRITERS)}')
    check_seed(request.seed)
    check_size(request.size_hw)
    if request.num < 2:
        raise ValueError(f'num must be at least 2, one for each split, got {request.num}')
    if not 0 < request.val_fraction < 1:
        raise ValueError(f'val_fraction must be between 0 and 1, got {request.val_fraction}')
    minimum = MIN_DAVIS_FRAMES if layout == 'davis' else 1
    if request.frames < minimum:
        raise ValueError(f'frames must be at least {minimum} for the layout {layout}, got {request.frames}')


def write_scenes(out: Path, layout: str, request: TreeRequest, force: bool = False) -> list[str]:
    """Write a tree of scenes, with a manifest and a contact sheet, atomically.

    Args:
        out: Folder to make.
        layout: 'images', 'coco', 'uavdt', 'davis' or 'segmentation'.
        request: What to write.
        force: Whether to replace a tree that an earlier call wrote there.

    Returns:
        Lines that say what was written.

    Raises:
        ValueError: For a request that the layout cannot hold.
        OSError: If ``out`` is in use, or cannot be written.
    """
    check_request(layout, request)
    with new_folder(out, force) as folder:
        written = WRITERS[layout](folder, request)
        save_image(folder / PREVIEW, contact_sheet(written.previews))
        options = {name: value for name, value in asdict(request).items() if name != 'progress'}
        write_manifest(folder, layout=layout, version=__version__, **options)
    return written.lines
