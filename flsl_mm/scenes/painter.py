"""Procedural scenes: textured objects of several classes over textured backgrounds, with exact instance masks.

A scene is drawn in two steps: everything random is drawn once (``specs.sample_scene``), and the result is painted at a
moment of its clip (``paint_scene``). Both are deterministic: the same (seed, split, index) gives the same bytes with
the same versions of NumPy and OpenCV. The two splits take disjoint random streams: 'val' scenes are unseen whatever
seeds and indices were used for training.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .objects import OBJECT_CLASSES
from .specs import ObjectSpec, Role, SceneSpec, sample_scene, scene_generator
from .textures import TILE, Grid, noise_tile

CLASSES = tuple(kind.name for kind in OBJECT_CLASSES)
_STILL, _CLIP = 0, 1


class Outline(NamedTuple):
    """All of an object, hidden parts and parts outside the image too: its mask (h, w) bool, and where that begins."""

    left: int
    top: int
    mask: np.ndarray


_OUT_OF_SIGHT = Outline(0, 0, np.zeros((0, 0), bool))


@dataclass(frozen=True)
class Scene:
    """A painted scene.

    Args:
        image: (H, W, 3) uint8 RGB.
        instance_map: (H, W) int32, the visible object of each pixel: 0 background, i + 1 for object i. An object with
            a greater number was painted later and covers those with a smaller one.
        labels: (N,) int64, class of object i as an index into ``CLASSES``; objects out of sight are listed too.
        outlines: Outline of object i as if it were alone.
    """

    image: np.ndarray
    instance_map: np.ndarray
    labels: np.ndarray
    outlines: tuple[Outline, ...]


def render_scene(seed: int, index: int, size_hw: tuple[int, int], split: str = 'train') -> Scene:
    """Paint one still scene.

    Args:
        seed: Seed of the collection, 0 or more.
        index: Number of the scene in the collection, 0 or more.
        size_hw: Height and width in pixels, at least 32 each.
        split: 'train' or 'val'.

    Raises:
        ValueError: For an unknown split, a negative seed or index, or too small an image.
    """
    return paint_scene(sample_scene(scene_generator(_STILL, seed, split, index), size_hw), time=0.0)


def render_clip(
    seed: int,
    index: int,
    num_frames: int,
    size_hw: tuple[int, int],
    split: str = 'train',
    roles: tuple[Role, ...] = (),
) -> Iterator[Scene]:
    """Paint the frames of a clip, with the same objects under the same numbers in every frame.

    Args:
        seed, index, size_hw, split: As for ``render_scene``.
        num_frames: Number of frames, evenly spaced over the clip's motion.
        roles: What the second and following objects do, one entry each: 'stays', 'returns' (out of the image in the
            middle of the clip) or 'enters' (out of it at first). Every other object stays.
    """
    spec = sample_scene(scene_generator(_CLIP, seed, split, index), size_hw, roles)
    for frame in range(num_frames):
        yield paint_scene(spec, frame / max(num_frames - 1, 1))


def instance_boxes(instance_map: np.ndarray, num_instances: int) -> np.ndarray:
    """Return the extents (N, 4) int64 left, top, width, height of instances 1..N; zeros where one is out of sight."""
    boxes = np.zeros((num_instances, 4), np.int64)
    for i in range(num_instances):
        mask = instance_map == i + 1
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            boxes[i] = columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    return boxes


def paint_scene(spec: SceneSpec, time: float) -> Scene:
    """Paint a scene at a moment of its clip, its objects in the order of their numbers.

    Args:
        spec: From ``sample_scene``.
        time: 0 (first frame) to 1 (last frame).
    """
    canvas = _paint_background(spec, time)
    instance_map = np.zeros(spec.size_hw, np.int32)
    outlines = [
        _paint_object(canvas, instance_map, number, item, spec, time)
        for number, item in enumerate(spec.objects, start=1)
    ]
    labels = np.array([item.label for item in spec.objects], np.int64)
    return Scene(_expose(canvas, spec, time), instance_map, labels, tuple(outlines))


def _paint_background(spec: SceneSpec, time: float) -> np.ndarray:
    """Return the lit background (H, W, 3) float32 in 0..1."""
    height, width = spec.size_hw
    short = min(spec.size_hw)
    cos, sin = np.cos(spec.background_angle), np.sin(spec.background_angle)
    turn = np.array([[cos, sin], [-sin, cos]]) / short
    origin = turn @ (np.array([width, height]) * -0.5 - short * spec.pan * time)
    colors = spec.background.paint(Grid.make(spec.size_hw, np.column_stack([turn, origin])), spec.background_look)
    x = np.linspace(-spec.slope[0], spec.slope[0], width, dtype=np.float32)
    y = np.linspace(-spec.slope[1], spec.slope[1], height, dtype=np.float32)[:, None]
    return colors * (1 + x + y)[..., None]


def _paint_object(
    canvas: np.ndarray, instance_map: np.ndarray, number: int, item: ObjectSpec, spec: SceneSpec, time: float
) -> Outline:
    """Paint one object and its shadow on the canvas (H, W, 3) and enter its number into the map (H, W), in place."""
    height, width = spec.size_hw
    short = min(spec.size_hw)
    radius = item.radius * short * (1 + item.swell * np.sin(np.pi * time))
    center = np.array([width, height]) * 0.5 + short * item.motion.center(time)
    reach = int(np.ceil(radius)) + 3
    left, top = (int(c) for c in np.floor(center) - reach)
    # A shadow falls no further than the object is wide.
    if left + 4 * reach < 0 or top + 4 * reach < 0 or left - 2 * reach > width or top - 2 * reach > height:
        return _OUT_OF_SIGHT
    angle = item.angle + item.spin * time
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos / item.squash[0], sin / item.squash[0]], [-sin / item.squash[1], cos / item.squash[1]]])
    turn /= radius
    affine = np.column_stack([turn, turn @ (np.array([left, top]) - center)])
    field, colors = OBJECT_CLASSES[item.label].paint(Grid.make((2 * reach, 2 * reach), affine), item.style)
    coverage, colors = _shade(field, colors, radius, spec.light, item.label)
    _cast_shadow(canvas, coverage, (left, top), radius, spec)
    inside, outside = _overlap((left, top), coverage.shape, spec.size_hw)
    weight = coverage[inside][..., None]
    canvas[outside] += (colors[inside] - canvas[outside]) * weight
    mask = coverage > 0.5
    instance_map[outside][mask[inside]] = number
    return Outline(left, top, mask)


def _overlap(corner: tuple[int, int], patch_hw: tuple[int, int], size_hw: tuple[int, int]) -> tuple:
    """Return the slices of a patch at (left, top), and of the image, where the two overlap."""
    inside, outside = [], []
    for start, length, limit in zip(corner[::-1], patch_hw, size_hw, strict=True):
        low, high = min(max(start, 0), limit), max(min(start + length, limit), 0)
        inside.append(slice(low - start, max(high, low) - start))
        outside.append(slice(low, max(high, low)))
    return tuple(inside), tuple(outside)


def _shade(field: np.ndarray, colors: np.ndarray, radius: float, light: np.ndarray, label: int) -> tuple:
    """Turn a painter's field into coverage (H, W) in 0..1 and its colors into lit colors (H, W, 3).

    The field divided by its slope is the distance to the outline in pixels; the surface leans outwards within the
    class's bevel, and its brightness follows from the angle to the light.
    """
    kind = OBJECT_CLASSES[label]
    slope_x = cv2.Sobel(field, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(field, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    steepness = np.maximum(np.sqrt(slope_x * slope_x + slope_y * slope_y), np.float32(0.05 / radius))
    distance = field / steepness
    coverage = np.clip(0.5 - distance, 0, 1)
    lean = np.clip(1 + distance * (1.0 / (kind.bevel * radius)), 0, 1) * 0.95
    light_x, light_y, light_z = (float(value) for value in light)
    toward = (slope_x * light_x + slope_y * light_y) * (lean / steepness)
    facing = np.maximum(toward + np.sqrt(1 - lean * lean) * light_z, 0)
    colors = colors * (0.5 + 0.65 * facing)[..., None]
    if kind.gloss:
        highlight = facing
        for _ in range(4):
            highlight = highlight * highlight
        colors += (kind.gloss * highlight)[..., None]
    return coverage, colors


def _cast_shadow(
    canvas: np.ndarray, coverage: np.ndarray, corner: tuple[int, int], radius: float, spec: SceneSpec
) -> None:
    """Darken the canvas, in place, under the object's blurred outline moved away from the light."""
    blur = 2 * int(0.1 * radius + 1) + 1
    soft = cv2.copyMakeBorder(coverage, blur, blur, blur, blur, cv2.BORDER_CONSTANT)
    soft = cv2.blur(cv2.blur(soft, (blur, blur)), (blur, blur))
    shift = spec.light[:2] * (-0.28 * radius / spec.light[2])
    place = (corner[0] - blur + round(float(shift[0])), corner[1] - blur + round(float(shift[1])))
    inside, outside = _overlap(place, soft.shape, spec.size_hw)
    canvas[outside] *= (1 - spec.shadow * soft[inside])[..., None]


def _expose(canvas: np.ndarray, spec: SceneSpec, time: float) -> np.ndarray:
    """Apply exposure, color cast, sensor noise and gamma; (H, W, 3) uint8."""
    height, width = spec.size_hw
    start = int(spec.noise_start + 7919 * TILE * time) % (TILE * TILE)
    grain = np.resize(np.roll(noise_tile('white'), -start), (height, width))
    levels = canvas * (spec.gain * 255) + (spec.noise * grain + 0.5)[..., None]
    curve = 255 * (np.arange(256) / 255) ** spec.gamma
    return cv2.LUT(np.clip(levels, 0, 255).astype(np.uint8), np.rint(curve).astype(np.uint8))
