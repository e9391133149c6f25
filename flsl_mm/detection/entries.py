"""Checking that the entries of a COCO annotation file have what mmdet reads of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REQUIRED = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
    'categories': ('id', 'name'),
}
"""Entries of a file, and what mmdet reads of each; ``iscrowd`` and ``segmentation`` may be missing."""

MOST = 1e15


def check_entries(content: Mapping[str, Any]) -> None:
    """Check that images, annotations and categories have their keys, ids of their own and boxes of four numbers.

    Args:
        content: Content of the file.

    Raises:
        ValueError: With place and id of the first entry that is wrong.
    """
    for part, keys in REQUIRED.items():
        if not isinstance(content.get(part), list):
            raise ValueError(f'it has no list of {part}')
        if part == 'images' and not content[part]:
            raise ValueError('its list of images is empty')
        seen = set()
        for place, entry in enumerate(content[part]):
            problem = entry_problem(entry, keys)
            if problem is None and entry['id'] in seen:
                problem = 'has the id of an earlier one'
            if problem:
                name = f' (id {entry["id"]!r})' if isinstance(entry, Mapping) and 'id' in entry else ''
                raise ValueError(f'{part}[{place}]{name} {problem}')
            seen.add(entry['id'])


def entry_problem(entry: Any, keys: tuple[str, ...]) -> str | None:
    """Describe what is wrong with an entry; None if nothing is."""
    if not isinstance(entry, Mapping):
        return f'is a {type(entry).__name__}, not an object'
    missing = [key for key in keys if key not in entry]
    if missing:
        return f'lacks {", ".join(missing)}'
    for key in keys:
        value = entry[key]
        if key == 'bbox':
            if not (isinstance(value, list) and len(value) == 4 and all(map(is_number, value))):
                return f'has a bbox that is not four numbers: {repr(value)[:60]}'
        elif key in ('file_name', 'name'):
            if not isinstance(value, str):
                return f'has no text as {key}: {repr(value)[:60]}'
        elif key in ('height', 'width', 'area'):
            if not is_number(value):
                return f'has no number as {key}: {repr(value)[:60]}'
        elif not isinstance(value, int | str):
            return f'has neither a number nor text as {key}: {repr(value)[:60]}'
    return None


def is_number(value: Any) -> bool:
    """Return whether a value of a JSON file is a number that pixels can be counted with: no NaN, no infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MOST < value < MOST
