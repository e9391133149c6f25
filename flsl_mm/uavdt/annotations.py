"""Reading the text files of the UAVDT benchmark (Du et al., ECCV 2018): boxes, ignore regions, sequence attributes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

CATEGORIES = ('car', 'truck', 'bus')
"""Names of the categories 1, 2 and 3."""
OCCLUSIONS = {1: 'none', 2: 'large', 3: 'medium', 4: 'small'}
"""Meaning of the occlusion codes, from the benchmark's toolkit; their order is not their degree."""
ATTRIBUTES = (
    'daylight',
    'night',
    'fog',
    'low_altitude',
    'medium_altitude',
    'high_altitude',
    'front_view',
    'side_view',
    'bird_view',
    'long_term',
)
"""The ten flags of a sequence, in the order of the file; a sequence may have several views."""

BOX_COLUMNS = ('frame', 'target_id', 'left', 'top', 'width', 'height', 'out_of_view', 'occlusion', 'category')
REGION_COLUMNS = BOX_COLUMNS[:6]
_CATEGORY = BOX_COLUMNS.index('category')
_WHOLE_NUMBERS = [BOX_COLUMNS.index(name) for name in BOX_COLUMNS if name not in ('left', 'top', 'width', 'height')]


def read_boxes(path: Path) -> np.ndarray:
    """Read a file of objects, ``M0101_gt_whole.txt``.

    Args:
        path: File with one object a line, the nine columns ``BOX_COLUMNS`` separated by commas.

    Returns:
        Table (N, 9) of float64, rows in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is malformed, or its category is not 1, 2 or 3; the message names file and line.
    """
    lines = _read_lines(path)
    table = _parse(path, lines, len(BOX_COLUMNS), exact=True)
    wrong = np.flatnonzero(~np.isin(table[:, _CATEGORY], range(1, len(CATEGORIES) + 1)))
    if len(wrong):
        number = list(lines)[wrong[0]]
        raise ValueError(f'{path}, line {number}: category {table[wrong[0], _CATEGORY]:g}, but 1 to 3 are known')
    return table


def read_regions(path: Path) -> np.ndarray:
    """Read a file of regions that are not to be scored, ``M0101_gt_ignore.txt``.

    Args:
        path: File with one region a line: the columns ``REGION_COLUMNS``, then any others.

    Returns:
        Table (N, 6) of float64; empty if there is no such file.

    Raises:
        ValueError: If a line is malformed; the message names file and line.
    """
    if not path.is_file():
        return np.zeros((0, len(REGION_COLUMNS)))
    return _parse(path, _read_lines(path), len(REGION_COLUMNS), exact=False)


def read_attributes(path: Path) -> dict[str, bool]:
    """Read the ten flags of a sequence, ``M0101_attr.txt``.

    Raises:
        ValueError: If there are not exactly ten flags, each 0 or 1.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no file {path}')
    flags = re.split(r'[,\s]+', path.read_text(encoding='utf-8-sig', errors='replace').strip(' ,\t\r\n'))
    if len(flags) != len(ATTRIBUTES) or not set(flags) <= {'0', '1'}:
        raise ValueError(
            f'{path}: expected {len(ATTRIBUTES)} flags 0 or 1 separated by commas ({", ".join(ATTRIBUTES)})'
        )
    return {name: flag == '1' for name, flag in zip(ATTRIBUTES, flags, strict=True)}


def _read_lines(path: Path) -> dict[int, str]:
    """Return the lines of a file that are not blank, by their number."""
    if not path.is_file():
        raise FileNotFoundError(f'no file {path}')
    lines = path.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    return {number: line for number, line in enumerate(lines, start=1) if line.strip()}


def _parse(path: Path, lines: dict[int, str], columns: int, exact: bool) -> np.ndarray:
    """Parse comma-separated numbers; of longer lines the first ``columns`` count, or with ``exact`` are an error."""
    if not lines:
        return np.zeros((0, columns))
    used = None if exact else range(columns)
    try:
        table = np.loadtxt(lines.values(), delimiter=',', comments=None, ndmin=2, usecols=used)
    except ValueError:
        table = None
    if table is None or table.shape[1] != columns or not _is_valid(table).all():
        # Line by line is slow: only to say which line is wrong.
        table = np.array([_parse_line(path, number, line, columns, exact) for number, line in lines.items()])
    return table


def _is_valid(table: np.ndarray) -> np.ndarray:
    """Return which rows (N, columns) hold finite numbers, whole ones where they must be, and a frame from 1 on."""
    whole = table[:, [column for column in _WHOLE_NUMBERS if column < table.shape[1]]]
    whole_numbers = (whole == np.floor(whole)) & (np.abs(whole) < 2**53)
    return np.isfinite(table).all(1) & whole_numbers.all(1) & (table[:, 0] >= 1)


def _parse_line(path: Path, number: int, line: str, columns: int, exact: bool) -> list[float]:
    fields = line.split(',')
    expected = ','.join(BOX_COLUMNS[:columns]) + ('' if exact else ',...')
    if len(fields) < columns or (exact and len(fields) > columns):
        raise ValueError(f'{path}, line {number}: {len(fields)} columns in {_shorten(line)}, expected {expected}')
    try:
        values = [float(field) for field in fields[:columns]]
    except ValueError:
        raise ValueError(f'{path}, line {number}: no numbers in {_shorten(line)}, expected {expected}') from None
    if not _is_valid(np.array([values]))[0]:
        raise ValueError(
            f'{path}, line {number}: {_shorten(line)} must have finite numbers, whole ones except for the box, and '
            f'frames from 1 on: {expected}'
        )
    return values


def _shorten(line: str, most: int = 60) -> str:
    return repr(line if len(line) <= most else line[:most] + '...')
