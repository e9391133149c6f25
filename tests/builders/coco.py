"""Contents of COCO annotation files."""

from collections.abc import Sequence

Box = tuple[float, float, float, float]


def outline(left: float, top: float, width: float, height: float) -> list[float]:
    """Make the polygon of a box."""
    return [left, top, left + width, top, left + width, top + height, left, top + height]


def coco_content(
    names: Sequence[str], boxes: Sequence[Box], classes: Sequence[str], size: tuple[int, int] = (64, 48), first: int = 1
) -> dict:
    """Put all boxes into every image, of one class each, with their outlines; ids count from 1, categories from first.

    Args:
        names: Files of the images.
        boxes: Left, top, width and height of the objects.
        classes: Names of the categories.
        size: Width and height of the images.
        first: Id of the first category.
    """
    images = [dict(id=i, file_name=name, width=size[0], height=size[1]) for i, name in enumerate(names, start=1)]
    objects = [(image['id'], first + k, box) for image in images for k, box in enumerate(boxes)]
    annotations = [
        dict(id=i, image_id=image, category_id=category, bbox=list(box), area=box[2] * box[3], iscrowd=0)
        | dict(segmentation=[outline(*box)])
        for i, (image, category, box) in enumerate(objects, start=1)
    ]
    categories = [dict(id=first + k, name=name) for k, name in enumerate(classes)]
    return dict(images=images, annotations=annotations, categories=categories)
