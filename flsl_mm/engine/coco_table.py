"""COCO's figures of an evaluation as a small table."""

from __future__ import annotations

from collections.abc import Mapping

HEADINGS = {
    'mAP': 'AP',
    'mAP_50': 'AP50',
    'mAP_75': 'AP75',
    'mAP_s': 'AP small',
    'mAP_m': 'AP medium',
    'mAP_l': 'AP large',
}
"""Headings of the columns by mmdet's names of the figures."""


def coco_table(numbers: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """Write the figures of boxes and of masks as a row each.

    Args:
        numbers: Figures of an evaluation by name, ``coco/bbox_mAP_50`` for one, from 0 to 1; -1 where there is no
            object of that size, shown as a dash.

    Returns:
        The table, empty where there are no figures of COCO; and the figures that are not in it.
    """
    kinds = [name.removesuffix('_mAP') for name in numbers if name.endswith(('bbox_mAP', 'segm_mAP'))]
    shown = [name for name in HEADINGS if any(f'{kind}_{name}' in numbers for kind in kinds)]
    placed = {f'{kind}_{name}' for kind in kinds for name in shown}
    others = {name: value for name, value in numbers.items() if name not in placed}
    if not kinds:
        return '', others
    width = max(map(len, kinds))
    lines = [' ' * width + ''.join(f'{HEADINGS[name]:>11}' for name in shown)]
    for kind in kinds:
        values = [numbers.get(f'{kind}_{name}', -1) for name in shown]
        lines.append(f'{kind:{width}}' + ''.join(f'{"-" if value < 0 else f"{value:.3f}":>11}' for value in values))
    return '\n'.join(lines), others
