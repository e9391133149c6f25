"""Writing procedural scenes to the disk: image folders and COCO trees here, and the one entry point of all layouts."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from flsl_mm.uavdt.sequences import UAVDT_SEQUENCES
from flsl_mm.version import __version__

from .output import (
    MAX_PREVIEWS,
    PREVIEW,
    TreeRequest,
    Written,
    contact_sheet,
    new_folder,
    save_image,
    tint_instances,
    write_manifest,
)
from .painter import CLASSES, Scene, instance_boxes, render_scene
from .specs import check_seed, check_size
from .video_writers import MIN_DAVIS_FRAMES, write_davis, write_uavdt

MIN_VISIBLE_PIXELS = 16


def write_images(folder: Path, request: TreeRequest) -> Written:
    """Write pictures without annotations, `train/00/000000.jpg` and so on, at most 1000 in a folder."""
    pictures = []
    sizes = request.split_sizes()
    with tqdm(total=request.num, unit='picture', disable=not request.progress) as bar:
        for split, number in sizes.items():
            for index in range(number):
                scene = render_scene(request.seed, index, request.size_hw, split)
                path = folder / split / f'{index // 1000:02d}' / f'{index:06d}.jpg'
                path.parent.mkdir(parents=True, exist_ok=True)
                save_image(path, scene.image)
                if len(pictures) < MAX_PREVIEWS:
                    pictures.append(scene.image)
                bar.update()
    return Written([f'{split}: {number} pictures' for split, number in sizes.items()], pictures)


def write_coco(folder: Path, request: TreeRequest) -> Written:
    """Write pictures `train/000000.jpg` and so on, with `annotations/instances_train.json`, and the same for val.

    Masks are run-length codes; category ids count from 1 in the order of `CLASSES`. An object of which fewer than 16
    pixels are visible is not annotated.
    """
    pictures, lines = [], []
    (folder / 'annotations').mkdir()
    with tqdm(total=request.num, unit='picture', disable=not request.progress) as bar:
        for split, number in request.split_sizes().items():
            (folder / split).mkdir()
            images, annotations = [], []
            for index in range(number):
                scene = render_scene(request.seed, index, request.size_hw, split)
                save_image(folder / split / f'{index:06d}.jpg', scene.image)
                height, width = request.size_hw
                images.append(dict(id=index, file_name=f'{index:06d}.jpg', height=height, width=width))
                annotations += coco_annotations(scene, image_id=index, first_id=len(annotations) + 1)
                if len(pictures) < MAX_PREVIEWS:
                    pictures.append(tint_instances(scene.image, scene.instance_map))
                bar.update()
            categories = [dict(id=i + 1, name=name, supercategory='object') for i, name in enumerate(CLASSES)]
            content = dict(images=images, annotations=annotations, categories=categories)
            (folder / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
            lines.append(f'{split}: {number} pictures, {len(annotations)} objects of {len(CLASSES)} classes')
    return Written(lines, pictures)


def coco_annotations(scene: Scene, image_id: int, first_id: int) -> list[dict]:
    """Return the COCO annotations of a scene's visible objects.

    Args:
        scene: The scene.
        image_id: Id of its picture.
        first_id: Id of its first annotation, counted on from there.
    """
    annotations = []
    for i, box in enumerate(instance_boxes(scene.instance_map, len(scene.labels))):
        mask = scene.instance_map == i + 1
        area = int(mask.sum())
        if area < MIN_VISIBLE_PIXELS:
            continue
        code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        annotations.append(
            dict(
                id=first_id + len(annotations),
                image_id=image_id,
                category_id=int(scene.labels[i]) + 1,
                bbox=box.tolist(),
                area=area,
                iscrowd=0,
                segmentation=dict(size=list(code['size']), counts=code['counts'].decode('ascii')),
            )
        )
    return annotations


class Layout(NamedTuple):
    """A layout: its writer, the defaults of its options, and how the tree is used."""

    write: Callable[[Path, TreeRequest], Written]
    num: int
    size_hw: tuple[int, int]
    frames: int
    usage: str


LAYOUTS = {
    'images': Layout(
        write_images,
        1000,
        (256, 256),
        1,
        'python tools/train.py configs/pretrain/flsl_vit-s16.py '
        '--cfg-options train_dataloader.dataset.data_root={out}/train',
    ),
    'coco': Layout(
        write_coco,
        250,
        (256, 256),
        1,
        'SCENES_ROOT={out} python tools/train.py configs/det/mask-rcnn_flsl-vit-t16_fpn_scenes.py',
    ),
    'uavdt': Layout(
        write_uavdt,
        4,
        (540, 1024),
        30,
        'python tools/dataset_converters/uavdt2coco.py {out} --out {out}/annotations && '
        'UAVDT_SCENES_ROOT={out} python tools/train.py configs/det/mask-rcnn_flsl-vit-t16_fpn_uavdt-scenes.py',
    ),
    'davis': Layout(
        write_davis,
        8,
        (240, 432),
        25,
        'python tools/test.py configs/vos/flsl_vit-t16_scenes.py CHECKPOINT '
        '--cfg-options test_dataloader.dataset.data_root={out}',
    ),
}


def check_request(layout: str, request: TreeRequest) -> None:
    """Raise ValueError, in one line that says what to change, for a request that its layout cannot hold."""
    if layout not in LAYOUTS:
        raise ValueError(f'unknown layout {layout!r}: use one of {", ".join(LAYOUTS)}')
    check_seed(request.seed)
    check_size(request.size_hw)
    if request.num < 2:
        raise ValueError(f'num must be at least 2, one for each split, got {request.num}')
    if not 0 < request.val_fraction < 1:
        raise ValueError(f'val_fraction must be between 0 and 1, got {request.val_fraction}')
    if layout == 'uavdt' and request.num > len(UAVDT_SEQUENCES['train']) + len(UAVDT_SEQUENCES['test']):
        raise ValueError(f'UAVDT has 50 sequences, so num can be at most 50, got {request.num}')
    minimum = MIN_DAVIS_FRAMES if layout == 'davis' else 1
    if request.frames < minimum:
        raise ValueError(f'frames must be at least {minimum} for the layout {layout}, got {request.frames}')


def write_scenes(out: Path, layout: str, request: TreeRequest, force: bool = False) -> list[str]:
    """Write a tree of scenes, with a manifest and a contact sheet, whole or not at all.

    Args:
        out: Folder to make.
        layout: 'images', 'coco', 'uavdt' or 'davis'.
        request: What to write.
        force: Whether to replace a tree that an earlier call wrote there.

    Returns:
        Lines that say what was written.

    Raises:
        ValueError: For a request that the layout cannot hold.
        OSError: If `out` is in use, or cannot be written.
    """
    check_request(layout, request)
    with new_folder(out, force) as folder:
        written = LAYOUTS[layout].write(folder, request)
        save_image(folder / PREVIEW, contact_sheet(written.pictures))
        options = {name: value for name, value in asdict(request).items() if name != 'progress'}
        write_manifest(folder, layout=layout, version=__version__, **options)
    return written.lines
