"""Writes small trees in the layout of the UAVDT download."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

ATTRIBUTES = (1, 0, 0, 0, 1, 0, 1, 1, 0, 0)


def write_sequence(
    root: Path,
    name: str,
    boxes: Sequence[Sequence[object]],
    regions: Sequence[Sequence[object]] | None = (),
    *,
    frames: int = 2,
    size: tuple[int, int] = (64, 48),
    folder: str = '',
    split: str | None = None,
    attributes: Sequence[int] = ATTRIBUTES,
) -> None:
    """Write a sequence.

    Args:
        root: Root of the tree.
        name: Name of the sequence.
        boxes: Lines of the file of objects, nine values each.
        regions: Lines of the file of ignore regions, six or more values each; None writes no such file.
        frames: Number of images.
        size: Their width and height.
        folder: Folder within the sequence that holds the images, ``'img1'`` or none.
        split: Folder of ``M_attr`` that gets the file of attributes, or None for no such file.
        attributes: Its ten flags.
    """
    images = root / 'UAV-benchmark-M' / name / folder
    images.mkdir(parents=True)
    for number in range(1, frames + 1):
        Image.new('RGB', size, (90, 90, 90)).save(images / f'img{number:06d}.jpg')
    truth = root / 'UAV-benchmark-MOTD_v1.0' / 'GT'
    truth.mkdir(parents=True, exist_ok=True)
    for kind, rows in (('whole', boxes), ('ignore', regions)):
        if rows is not None:
            lines = [','.join(map(str, row)) + '\n' for row in rows]
            (truth / f'{name}_gt_{kind}.txt').write_text(''.join(lines))
    if split:
        path = root / 'M_attr' / split / f'{name}_attr.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(','.join(map(str, attributes)))
