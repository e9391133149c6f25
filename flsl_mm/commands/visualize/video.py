"""Propagate a video's first mask with the features of several models: animations, masks and a page."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.utils.terminal import progress
from flsl_mm.visualization.page import PageImage, PageRow, PageSection, write_page
from flsl_mm.vos.drawing import GIF_WIDTH, write_gif
from flsl_mm.vos.propagator import FLSLLabelPropagator
from flsl_mm.vos.tree import read_object_ids

from ..names import numbered_if_alike, safe_name
from .images import PAGE, prepare_folder, read_pixels, readable
from .view import panel_image, resized

LEGEND = {
    'Followed objects': 'The mask of the first frame was given. In each later frame a patch takes the label of the '
    'patches in the first and the seven frames before that have the most similar features; nothing was trained for it. '
    'Good features keep the colors on the objects to the end.',
}

LOOK = 'Look for colors that stay on their objects to the last frame.'

PATCHES = 48
"""Patches along the longer side of a frame."""


def draw_video(
    models: Sequence[FeatureExtractor],
    paths: Sequence[Path],
    mask: Path,
    folder: Path,
    long_side: int | None = None,
    facts: Sequence[str] = (),
) -> dict[str, str]:
    """Write ``NAME.gif`` and ``masks/NAME/FRAME.png`` for each model, and the page; one frame in memory at a time.

    Args:
        models: Models to compare, with different names.
        paths: Frames in their order; those that cannot be read, or of another size than the first, are left out.
        mask: PNG file with the object ids of the first frame; where it has colors or the value 255, all that is not
            black is one object.
        folder: Where to.
        long_side: Greatest length of a frame's longer side in pixels, 48 patches with None.
        facts: Sentences for the head of the page.

    Returns:
        Why a frame was left out, by path.

    Raises:
        ValueError: If the mask is not of the first frame's size or shows no object, or fewer than two frames are left.
        OSError: If the folder cannot be written.
    """
    prepare_folder(folder)
    skipped: dict[str, str] = {}
    frames = frames_of_one_size(paths, skipped)
    if len(frames) < 2:
        raise ValueError(f'{len(frames)} frames can be read of {len(paths)}: a video has two at least')
    first_mask = read_first_mask(mask, tuple(read_pixels(frames[0]).shape[1:]))
    shown = []
    names = numbered_if_alike([safe_name(model.name) for model in models])
    for model, name in zip(models, names, strict=True):
        target = folder / f'{name}.gif'
        small = (panel_image(read_pixels(path), GIF_WIDTH) for path in frames)
        write_gif(target, small, written_masks(model, frames, first_mask, folder / 'masks' / name, long_side))
        height, width = panel_image(read_pixels(frames[0]), GIF_WIDTH).shape[:2]
        shown.append(PageImage(model.name, target.name, (width, height)))
    heading = f'{len(frames)} frames of {frames[0].parent.name}'
    write_page(
        folder / PAGE,
        f'What {models[0].name} follows',
        facts,
        LEGEND,
        [PageSection(heading, None, [PageRow('Followed objects', LOOK, shown)])],
        skipped,
    )
    return skipped


def frames_of_one_size(paths: Sequence[Path], skipped: MutableMapping[str, str]) -> list[Path]:
    """Keep the frames that can be read and are as large as the first; why others are not is noted."""
    kept, size = [], None
    for path, pixels in readable(paths, skipped, 'frames'):
        size = size or pixels.shape
        if pixels.shape == size:
            kept.append(path)
        else:
            (_, height, width), (_, first_height, first_width) = pixels.shape, size
            skipped[str(path)] = f'{width}x{height} pixels, the first frame {first_width}x{first_height}'
    return kept


def read_first_mask(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
    """Read object ids (H, W), uint8, of a frame of ``size_hw``.

    Raises:
        ValueError: If the file is damaged, has another size, or shows no object.
    """
    try:
        ids = read_object_ids(path, single_object=False)
    except ValueError:
        ids = read_object_ids(path, single_object=True)
    if ids.shape != size_hw:
        (height, width), (frame_height, frame_width) = ids.shape, size_hw
        raise ValueError(f'the mask {path} has {width}x{height} pixels, the first frame {frame_width}x{frame_height}')
    if not ids.any():
        raise ValueError(f'the mask {path} shows no object: all of it is 0')
    return ids


class Frames(Sequence):
    """Frames (H, W, 3), uint8, at a network's size, each read when it is asked for."""

    def __init__(self, paths: Sequence[Path], long_side: int, patch_size: int) -> None:
        self.paths, self.long_side, self.patch_size = paths, long_side, patch_size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int | slice) -> np.ndarray | Frames:
        if isinstance(index, slice):
            return Frames(self.paths[index], self.long_side, self.patch_size)
        pixels = resized(read_pixels(self.paths[index]), self.long_side, self.patch_size)
        return (255 * pixels).round().byte().permute(1, 2, 0).numpy()


def written_masks(
    model: FeatureExtractor, paths: Sequence[Path], first_mask: np.ndarray, folder: Path, long_side: int | None
) -> Iterator[np.ndarray]:
    """Follow the first mask through a video, write each frame's mask and give it on, (H, W), uint8."""
    folder.mkdir(parents=True, exist_ok=True)
    propagator = FLSLLabelPropagator(model.backbone, mean=model.spec.mean, std=model.spec.std, progress=False)
    propagator.to(next(model.backbone.parameters()).device)
    frames = Frames(paths, long_side or PATCHES * model.patch_size, model.patch_size)
    masks = chain([first_mask], propagator.segment(frames, first_mask))
    bar = progress(zip(paths, masks, strict=True), model.name, 'frame', len(paths))
    for name, (_, ids) in zip(numbered_if_alike([path.stem for path in paths]), bar, strict=True):
        write_palette_mask(folder / f'{name}.png', ids)
        yield ids
