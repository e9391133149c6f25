"""Write procedural scenes in COCO's layout: boxes and run-length masks of the visible objects."""

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from flsl_mm.utils.terminal import open_progress

from .output import MAX_PREVIEWS, TreeRequest, Written, save_image, tint_instances
from .painter import CLASSES, Scene, instance_boxes, render_scene

MIN_VISIBLE_PIXELS = 16


def write_coco(folder: Path, request: TreeRequest) -> Written:
    """Write images ``train/000000.jpg`` and so on, with ``annotations/instances_train.json``, and the same for val.

    Masks are run-length codes; category ids count from 1 in the order of ``CLASSES``. An object of which fewer than 16
    pixels are visible is not annotated.
    """
    previews, lines = [], []
    (folder / 'annotations').mkdir()
    with open_progress(request.num, 'scenes', 'image', show=request.progress) as bar:
        for split, number in request.split_sizes().items():
            (folder / split).mkdir()
            images, annotations = [], []
            for index in range(number):
                scene = render_scene(request.seed, index, request.size_hw, split)
                save_image(folder / split / f'{index:06d}.jpg', scene.image)
                height, width = request.size_hw
                images.append(dict(id=index, file_name=f'{index:06d}.jpg', height=height, width=width))
                annotations += coco_annotations(scene, image_id=index, first_id=len(annotations) + 1)
                if len(previews) < MAX_PREVIEWS:
                    previews.append(tint_instances(scene.image, scene.instance_map))
                bar.update()
            categories = [dict(id=i + 1, name=name, supercategory='object') for i, name in enumerate(CLASSES)]
            content = dict(images=images, annotations=annotations, categories=categories)
            (folder / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
            lines.append(f'{split}: {number} images, {len(annotations)} objects of {len(CLASSES)} classes')
    return Written(lines, previews)


def coco_annotations(scene: Scene, image_id: int, first_id: int) -> list[dict]:
    """Return the COCO annotations of a scene's visible objects.

    Args:
        scene: The scene.
        image_id: Id of its image.
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
