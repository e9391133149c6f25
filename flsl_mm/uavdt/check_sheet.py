"""Draw frames of a converted UAVDT with their boxes and ignore regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor
from torchvision.utils import draw_bounding_boxes

from flsl_mm.datasets.image_file import open_image
from flsl_mm.visualization.sheet import Panel, Row, draw_sheet

from .annotations import BOX_COLUMNS, CATEGORIES
from .layout import UAVDTFrames

COLORS = ((60, 230, 60), (255, 220, 40), (60, 220, 255))
"""Colors of car, truck and bus."""
REGION_COLOR = (255, 40, 40)
_CATEGORY = BOX_COLUMNS.index('category')


@dataclass(frozen=True)
class SheetFrame:
    """A frame to draw.

    Args:
        path: Its image.
        title: What is written above it.
        boxes: Objects (N, 4): left, top, width, height in pixels.
        categories: Category of each, 1 to 3 (N,).
        regions: Ignore regions (M, 4), likewise.
    """

    path: Path
    title: str
    boxes: np.ndarray
    categories: np.ndarray
    regions: np.ndarray


def sample_frames(root: Path, frames: UAVDTFrames, number: int = 3) -> list[SheetFrame]:
    """Return so many frames of a sequence (fewer if it has fewer), evenly spread over it."""
    positions = np.unique((np.arange(number) + 0.5) / number * len(frames.numbers) // 1).astype(int)
    return [_describe(root, frames, position) for position in positions]


def _describe(root: Path, frames: UAVDTFrames, position: int) -> SheetFrame:
    number = frames.numbers[position]
    boxes = frames.boxes[frames.boxes[:, 0] == number]
    regions = frames.regions[frames.regions[:, 0] == number]
    title = f'{frames.sequence.split} {frames.sequence.name} frame {number}: {len(boxes)} boxes, {len(regions)} ignored'
    return SheetFrame(
        root / frames.files[position], title, boxes[:, 2:6], boxes[:, _CATEGORY].astype(int), regions[:, 2:6]
    )


def choose_evenly(frames: Sequence[SheetFrame], most: int = 12) -> list[SheetFrame]:
    """Return at most so many frames, evenly spread from the first to the last."""
    picked = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    return [frames[index] for index in picked]


def draw_frames(frames: Sequence[SheetFrame], columns: int = 3, tile_width: int = 640) -> Image.Image:
    """Draw frames in a grid, each with its title above it and brought to the width of a tile, above them a legend.

    Raises:
        ValueError: If an image cannot be read.
    """
    panels = [Panel(frame.title, _draw_boxes(frame, tile_width)) for frame in frames]
    rows = [Row('', panels[start : start + columns]) for start in range(0, len(panels), columns)]
    legend = zip((*CATEGORIES, 'ignore region'), (*COLORS, REGION_COLOR), strict=True)
    return draw_sheet(rows, legend=list(legend))


def _draw_boxes(frame: SheetFrame, width: int) -> np.ndarray:
    """Draw a frame's boxes and regions (H, width, 3), uint8."""
    with open_image(frame.path) as file:
        image = file.convert('RGB')
    scale = width / image.width
    image = pil_to_tensor(image.resize((width, round(image.height * scale)), Image.Resampling.LANCZOS))
    if len(frame.regions):
        image = draw_bounding_boxes(image, _corners(frame.regions, scale), colors=REGION_COLOR, fill=True)
    if len(frame.boxes):
        colors = [COLORS[category - 1] for category in frame.categories]
        image = draw_bounding_boxes(image, _corners(frame.boxes, scale), colors=colors)
    return image.permute(1, 2, 0).numpy()


def _corners(boxes: np.ndarray, scale: float) -> Tensor:
    """Return the first and last pixel of boxes (N, 4), reduced; a box keeps at least one pixel."""
    low = boxes[:, :2] * scale
    high = np.maximum((boxes[:, :2] + boxes[:, 2:]) * scale - 1, low)
    return torch.from_numpy(np.concatenate([low, high], axis=1).round())
