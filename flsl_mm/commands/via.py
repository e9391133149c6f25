"""Convert annotations of VIA (VGG Image Annotator 1 and 2) to COCO's; imports no OpenMMLab package."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flsl_mm.datasets.decode import image_hw

METADATA = '_via_img_metadata'
CSV_COLUMNS = ('region_shape_attributes', 'region_attributes')
CORNERS = 36
"""Corners of the polygon that stands for an ellipse."""

MAX_NUMBER = 1e9
"""Pixels that a coordinate, a side or a radius may have."""

_ADVICE = 'give the project (Project, Save) or the annotations (Annotation, Export Annotations (as json))'


def via_images(content: Any) -> list[dict]:
    """List the images of a VIA file, sorted by name: a saved project, or exported annotations.

    Args:
        content: Content of the JSON file.

    Returns:
        A dict for each image: ``filename`` and ``regions``, a list.

    Raises:
        ValueError: If it is anything else, or an image is there twice.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f'it holds a {type(content).__name__}, not what VIA writes: {_ADVICE}')
    if {'annotations', 'categories'} <= set(content):
        raise ValueError('it is COCO already, which the config can name as it is')
    if {'project', 'metadata', 'file'} <= set(content):
        raise ValueError('it is of VIA 3, which is not read: export it as COCO there')
    images = []
    for key, entry in content.get(METADATA, content).items():
        regions = entry.get('regions') if isinstance(entry, Mapping) else None
        regions = list(regions.values()) if isinstance(regions, Mapping) else regions  # as VIA 1 writes them
        if not isinstance(regions, list) or not isinstance(entry.get('filename'), str):
            raise ValueError(f'{key!r} has no filename with regions, as VIA writes it: {_ADVICE}')
        images.append(dict(filename=entry['filename'], regions=regions))
    if not images:
        raise ValueError('it has no images')
    name, count = Counter(image['filename'] for image in images).most_common(1)[0]
    if count > 1:
        raise ValueError(f'the image {name} is there {count} times: remove all but one in VIA')
    return sorted(images, key=lambda image: image['filename'])


def via_table(text: str) -> dict[str, dict]:
    """Read annotations that VIA exported as CSV, one region a row, to the content of its JSON export.

    Raises:
        ValueError: If a column is missing, or what should be JSON in a row is not.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix('#'), newline=''))
    missing = {'filename', *CSV_COLUMNS} - set(rows.fieldnames or ())
    if missing:
        raise ValueError(f'it has no column {", ".join(sorted(missing))}, as CSV of VIA has: {_ADVICE}')
    content: dict[str, dict] = {}
    for number, row in enumerate(rows, 2):
        try:
            shape, attributes = (json.loads(row[column] or '{}') for column in CSV_COLUMNS)
        except (TypeError, ValueError):
            raise ValueError(f'row {number} has no JSON in {" and ".join(CSV_COLUMNS)}') from None
        image = content.setdefault(row['filename'], dict(filename=row['filename'], regions=[]))
        if shape:  # an image without regions has a row too
            image['regions'].append(dict(shape_attributes=shape, region_attributes=attributes))
    return content


def find_attribute(images: Sequence[Mapping]) -> str:
    """Find the region attribute that holds the class: the only one that any region has a value of.

    Raises:
        ValueError: If there is none, or there are several.
    """
    used = Counter(
        name
        for image in images
        for region in image['regions']
        for name, value in _attributes(region).items()
        if _names(value)
    )
    if not used:
        raise ValueError(
            'no region has an attribute with its class: add one in VIA (Region Attributes), or give the only class as '
            '--class-name'
        )
    if len(used) > 1:
        found = ', '.join(f'{name!r} (of {count} regions)' for name, count in used.most_common())
        raise ValueError(f'regions have several attributes, {found}: name that of the class as --attribute')
    return next(iter(used))


def class_of(region: Mapping, attribute: str) -> str:
    """Read the class of a region: text, or the one box that is checked.

    Raises:
        ValueError: If it has none, or several.
    """
    names = _names(_attributes(region).get(attribute))
    if len(names) > 1:
        raise ValueError(f'has several classes checked as {attribute!r}: {", ".join(names)}')
    if not names:
        found = ', '.join(map(repr, _attributes(region))) or 'none'
        raise ValueError(f'has no value of the attribute {attribute!r}; its attributes are {found}')
    return names[0]


def find_classes(images: Sequence[Mapping], attribute: str) -> list[str]:
    """List the classes that an attribute of the regions names, sorted."""
    return sorted({name for image in images for _, _, name in named_regions(image, attribute)})


def outline(shape: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Give the corners of a region in pixels; a polyline is taken for closed, an ellipse gets :data:`CORNERS`.

    Args:
        shape: ``shape_attributes`` of the region.

    Returns:
        Points (x, y).

    Raises:
        ValueError: If it encloses nothing, or VIA knows no such shape.
    """
    name = shape.get('name') if isinstance(shape, Mapping) else None
    if name in ('polygon', 'polyline'):
        across, down = shape.get('all_points_x'), shape.get('all_points_y')
        if not (isinstance(across, list) and isinstance(down, list) and len(across) == len(down)):
            raise ValueError(f'is a {name} without as many x as y')
        points = [(_number(x), _number(y)) for x, y in zip(across, down, strict=True)]
        if len(set(points)) < 3:
            raise ValueError(f'is a {name} of {len(set(points))} points, which needs three')
    elif name == 'rect':
        left, top, across, down = (_number(shape.get(key)) for key in ('x', 'y', 'width', 'height'))
        points = [(left, top), (left + across, top), (left + across, top + down), (left, top + down)]
    elif name in ('circle', 'ellipse'):
        keys = ('r', 'r') if name == 'circle' else ('rx', 'ry')
        x, y, across, down = (_number(shape.get(key)) for key in ('cx', 'cy', *keys))
        if across < 0 or down < 0:
            raise ValueError(f'is a {name} with a radius below 0')
        turned = _number(shape.get('theta', 0))
        points = []
        for corner in range(CORNERS):
            along, beside = across * math.cos(step := corner * math.tau / CORNERS), down * math.sin(step)
            cos, sin = math.cos(turned), math.sin(turned)
            points.append((x + along * cos - beside * sin, y + along * sin + beside * cos))
    else:
        advice = ', which encloses nothing: draw a box or an outline' if name == 'point' else ', which VIA has not'
        raise ValueError(f'is a {name!r}{advice}')
    if polygon_area(points) == 0:
        raise ValueError(f'is a {name} of no area')
    return points


def polygon_area(points: Sequence[tuple[float, float]]) -> float:
    """Area of a polygon in square pixels."""
    following = [*points[1:], points[0]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(points, following, strict=True))) / 2


def coco_of_via(
    images: Sequence[Mapping], sizes_hw: Sequence[tuple[int, int]], classes: Sequence[str], attribute: str | None
) -> dict:
    """Turn images of VIA into the content of a COCO file.

    Args:
        images: As of :func:`via_images`.
        sizes_hw: Height and width of each in pixels.
        classes: Names of the categories, which get the ids 1, 2, ...
        attribute: The region attribute that holds the class; None takes all regions for the only class.

    Returns:
        ``images``, ``annotations`` with polygon, box (cut at the image) and area of the polygon, and ``categories``.

    Raises:
        ValueError: With image and number of the first region that is wrong, as VIA counts them, from 1.
    """
    ids = {name: number for number, name in enumerate(classes, 1)}
    listed, annotations = [], []
    for number, (image, (height, width)) in enumerate(zip(images, sizes_hw, strict=True), 1):
        listed.append(dict(id=number, file_name=image['filename'], height=height, width=width))
        for place, region, name in named_regions(image, attribute, classes):
            try:
                points = outline(region.get('shape_attributes'))
                box = _box(points, height, width)
            except ValueError as error:
                raise ValueError(f'region {place} of {image["filename"]} {error}') from None
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=ids[name],
                    bbox=box,
                    area=round(polygon_area(points), 2),
                    segmentation=[[round(side, 2) for point in points for side in point]],
                    iscrowd=0,
                )
            )
    categories = [dict(id=number, name=name) for name, number in ids.items()]
    return dict(images=listed, annotations=annotations, categories=categories)


def named_regions(
    image: Mapping, attribute: str | None, classes: Sequence[str] = ()
) -> Iterator[tuple[int, Mapping, str]]:
    """Yield number from 1, region and class of an image's regions; without an attribute the class is the only one."""
    for place, region in enumerate(image['regions'], 1):
        if not isinstance(region, Mapping):
            raise ValueError(f'region {place} of {image["filename"]} is a {type(region).__name__}, not an object')
        try:
            yield place, region, class_of(region, attribute) if attribute else classes[0]
        except ValueError as error:
            raise ValueError(f'region {place} of {image["filename"]} {error}') from None


def image_size(path: Path) -> tuple[int, int]:
    """Read height and width of an image as it is shown, turned as its camera says.

    Raises:
        FileNotFoundError: If it is missing.
        ImageError: If it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no image {path}: name the folder of the images as --images')
    return image_hw(path)


def _attributes(region: Any) -> Mapping:
    found = region.get('region_attributes') if isinstance(region, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _names(value: Any) -> list[str]:
    """List what an attribute says: the boxes that are checked, or the text, if there is any."""
    if isinstance(value, Mapping):
        return [str(name) for name, checked in value.items() if checked]
    text = '' if value is None else str(value).strip()
    return [text] if text and text != 'undefined' else []


def _box(points: Sequence[tuple[float, float]], height: int, width: int) -> list[float]:
    """Give x, y, width and height of the part of an outline's box that is in the image."""
    across, down = zip(*points, strict=True)
    if min(across) < -width or max(across) > 2 * width or min(down) < -height or max(down) > 2 * height:
        # As flsl_mm.detection refuses it in training, where an image's size on each side is allowed.
        raise ValueError(f'reaches far outside of its image of {width}x{height}: is it the image that was annotated?')
    left, right = (min(max(side, 0), width) for side in (min(across), max(across)))
    top, bottom = (min(max(side, 0), height) for side in (min(down), max(down)))
    if left >= right or top >= bottom:
        raise ValueError(f'lies outside of its image of {width}x{height}: is it the image that was annotated?')
    return [round(side, 2) for side in (left, top, right - left, bottom - top)]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_NUMBER:
        raise ValueError(f'has {repr(value)[:40]} where a number of pixels is needed')
    return value
