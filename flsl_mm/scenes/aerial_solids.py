"""Vehicles, trees, buildings and footbridges of the scenes seen from above: simple solids in metres.

A solid is built at the origin, facing +y, from truncated boxes; each face is a flat quadrilateral with one colour.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .textures import hsv, pick

CATEGORIES = ('car', 'truck', 'bus')
_GLASS = hsv(0.58, 0.3, 0.14)


class Faces(NamedTuple):
    """Faces of a solid: corners (F, 4, 3), colours (F, 3) in 0..1, and layers (F,), a higher one covering a lower."""

    corners: np.ndarray
    colors: np.ndarray
    layers: np.ndarray


@dataclass(frozen=True)
class Solid:
    """A solid standing on the ground.

    Args:
        faces: In its own coordinates.
        size: Length, width and height in metres.
        category: 1 car, 2 truck, 3 bus, as in UAVDT; 0 for anything that is no vehicle.
    """

    faces: Faces
    size: tuple[float, float, float]
    category: int = 0


@dataclass(frozen=True)
class Tree:
    """A tree: foliage as balls with centres (N, 3) relative to its foot, radii (N,) in metres and colours (N, 3)."""

    centres: np.ndarray
    radii: np.ndarray
    colors: np.ndarray


def truncated_box(
    bottom: tuple[float, float, float, float],
    top: tuple[float, float, float, float],
    heights: tuple[float, float],
    roof: np.ndarray,
    walls: np.ndarray,
    layer: int = 0,
) -> Faces:
    """Build a box whose top may be smaller than its bottom.

    Args:
        bottom, top: X0, x1, y0, y1 in metres.
        heights: Z of the bottom and of the top.
        roof: Colour (3,) of the top face.
        walls: Colours (4, 3) of the back, right, front and left face, or (3,) for all of them.
        layer: See `Faces`.
    """

    def ring(rectangle: tuple[float, float, float, float], z: float) -> np.ndarray:
        x0, x1, y0, y1 = rectangle
        return np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])

    low, high = ring(bottom, heights[0]), ring(top, heights[1])
    sides = [[low[i], low[(i + 1) % 4], high[(i + 1) % 4], high[i]] for i in range(4)]
    colors = np.concatenate([np.broadcast_to(walls, (4, 3)), roof[None]])
    return Faces(np.array([*sides, high]), colors, np.full(5, layer))


def _join(parts: list[Faces]) -> Faces:
    return Faces(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _paint(rng: np.random.Generator) -> np.ndarray:
    """Draw a car's colour: mostly white, silver, grey and black."""
    kind = rng.uniform()
    if kind < 0.68:
        return hsv(rng.uniform(), rng.uniform(0, 0.06), pick(rng, (0.95, 0.9, 0.72, 0.5, 0.3, 0.16)))
    hue = pick(rng, (0.0, 0.99, 0.6, 0.57, 0.62, 0.13, 0.35, 0.07)) + rng.normal(0, 0.01)
    return hsv(hue, rng.uniform(0.5, 0.9), rng.uniform(0.3, 0.8))


def make_car(rng: np.random.Generator) -> Solid:
    """Draw a saloon, an estate or a van: a body with a glazed cabin whose roof has the body's colour."""
    style = pick(rng, ('saloon', 'saloon', 'estate', 'van'))
    length, width = rng.uniform(4.1, 5.0), rng.uniform(1.75, 1.95)
    height = {'saloon': 1.45, 'estate': 1.65, 'van': 1.95}[style]
    rear, roof_rear = {'saloon': (0.40, 0.27), 'estate': (0.47, 0.42), 'van': (0.49, 0.47)}[style]
    front, roof_front = {'saloon': (0.24, 0.06), 'estate': (0.24, 0.08), 'van': (0.36, 0.24)}[style]
    half, color = width / 2, _paint(rng)
    body = truncated_box(
        (-half, half, -length / 2, length / 2),
        (-half + 0.06, half - 0.06, -length / 2 + 0.08, length / 2 - 0.12),
        (0.2, 0.85),
        color,
        color * 0.92,
    )
    cabin = truncated_box(
        (-half + 0.1, half - 0.1, -rear * length, front * length),
        (-half + 0.28, half - 0.28, -roof_rear * length, roof_front * length),
        (0.85, height),
        color,
        _GLASS * rng.uniform(0.8, 2.0),
        layer=1,
    )
    return Solid(_join([body, cabin]), (length, width, height), category=1)


def make_truck(rng: np.random.Generator) -> Solid:
    """Draw a lorry: a coloured cab and a box, a tarpaulin or an open load behind it."""
    length, width = rng.uniform(7.0, 11.0), rng.uniform(2.3, 2.5)
    half, cab_back, cargo_top = width / 2, length / 2 - rng.uniform(1.9, 2.4), rng.uniform(2.6, 3.6)
    color = hsv(pick(rng, (0.0, 0.58, 0.61, 0.12, 0.33)), rng.uniform(0.1, 0.85), rng.uniform(0.4, 0.9))
    walls = np.stack([color * 0.8, color * 0.9, _GLASS * 1.5, color * 0.9])
    cab = truncated_box(
        (-half + 0.05, half - 0.05, cab_back, length / 2),
        (-half + 0.1, half - 0.1, cab_back, length / 2 - 0.3),
        (0.4, rng.uniform(2.3, 2.8)),
        color,
        walls,
    )
    box = pick(
        rng, (hsv(0, 0, 0.88), hsv(0.1, 0.05, 0.7), hsv(0.6, 0.6, 0.5), hsv(0.35, 0.4, 0.4), hsv(0.07, 0.5, 0.5))
    )
    rectangle = (-half, half, -length / 2, cab_back - 0.35)
    parts = [cab, truncated_box(rectangle, rectangle, (0.8, cargo_top), box, box * 0.93)]
    if rng.uniform() < 0.35:
        inner = (-half + 0.15, half - 0.15, -length / 2 + 0.15, cab_back - 0.5)
        load = hsv(0.08, rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.5))
        parts.append(truncated_box(inner, inner, (cargo_top, cargo_top + 0.05), load, load, layer=1))
    return Solid(_join(parts), (length, width, cargo_top), category=2)


def make_bus(rng: np.random.Generator) -> Solid:
    """Draw a bus: a long body with a band of windows and units on its roof."""
    length, width, height = rng.uniform(10.0, 12.5), rng.uniform(2.45, 2.6), rng.uniform(2.9, 3.2)
    half = width / 2
    color = hsv(pick(rng, (0.0, 0.58, 0.33, 0.12, 0.06, 0.5)), rng.uniform(0.45, 0.9), rng.uniform(0.5, 0.9))
    roof = pick(rng, (color, hsv(0, 0, 0.9), 0.5 + 0.5 * color))
    outer = (-half, half, -length / 2, length / 2)
    parts = [
        truncated_box(outer, outer, (0.3, 1.4), color, color * 0.95),
        truncated_box(outer, outer, (1.4, 2.35), color, _GLASS * 1.3, layer=1),
        truncated_box(outer, outer, (2.35, height), roof, roof * 0.9, layer=2),
    ]
    for centre in rng.uniform(-0.38, 0.38, int(rng.integers(1, 4))) * length:
        unit = (-half * 0.55, half * 0.55, centre - 0.9, centre + 0.9)
        shade = hsv(0, 0, rng.uniform(0.55, 0.85))
        parts.append(truncated_box(unit, unit, (height, height + 0.25), shade, shade * 0.8, layer=3))
    return Solid(_join(parts), (length, width, height), category=3)


def make_vehicle(rng: np.random.Generator) -> Solid:
    """Draw a vehicle: mostly cars, as in UAVDT, with enough trucks and buses to learn them."""
    kind = rng.uniform()
    return make_car(rng) if kind < 0.76 else make_truck(rng) if kind < 0.89 else make_bus(rng)


def make_building(rng: np.random.Generator, width: float, depth: float, height: float) -> Solid:
    """Draw a building `width` along x, `depth` along y, with storeys of windows and a parapet round a flat roof."""
    wall = hsv(rng.uniform(0.02, 0.14), rng.uniform(0.05, 0.4), rng.uniform(0.45, 0.85))
    roof = hsv(pick(rng, (0.08, 0.02, 0.6, 0.3)), rng.uniform(0.03, 0.35), rng.uniform(0.35, 0.7))
    outer = (-width / 2, width / 2, -depth / 2, depth / 2)
    inner = (-width / 2 + 0.5, width / 2 - 0.5, -depth / 2 + 0.5, depth / 2 - 0.5)
    parts = []
    for level, floor in enumerate(np.arange(0, height - 2.0, 3.0)):
        parts.append(truncated_box(outer, outer, (floor, floor + 1.2), wall, wall, layer=2 * level))
        parts.append(truncated_box(outer, outer, (floor + 1.2, floor + 3.0), wall, wall * 0.55, layer=2 * level + 1))
    top = 3.0 * len(parts) / 2
    parts.append(truncated_box(outer, outer, (top, top + 0.8), wall * 1.1, wall, layer=90))
    parts.append(truncated_box(inner, inner, (top + 0.8, top + 0.81), roof, roof, layer=91))
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(-0.32, 0.32, 2) * (width, depth)
        side = rng.uniform(0.5, 1.3)
        unit = (x - side, x + side, y - side, y + side)
        shade = hsv(0.1, 0.05, rng.uniform(0.4, 0.85))
        parts.append(truncated_box(unit, unit, (top + 0.8, top + 0.8 + side), shade, shade * 0.8, layer=92))
    return Solid(_join(parts), (depth, width, top + 0.8))


def make_footbridge(rng: np.random.Generator, span: float) -> Solid:
    """Draw a footbridge `span` metres long across the road: a deck with railings, 5.5 m above it."""
    half_span, half = span / 2, rng.uniform(1.3, 2.0)
    deck = hsv(0.08, rng.uniform(0.0, 0.2), rng.uniform(0.5, 0.8))
    rail = hsv(rng.uniform(), rng.uniform(0.1, 0.5), rng.uniform(0.4, 0.8))
    outer = (-half_span, half_span, -half, half)
    inner = (-half_span, half_span, -half + 0.25, half - 0.25)
    return Solid(
        _join(
            [
                truncated_box(outer, outer, (5.5, 6.9), rail, rail * 0.9),
                truncated_box(inner, inner, (6.9, 6.91), deck, deck, layer=1),
            ]
        ),
        (2 * half, span, 6.9),
    )


def make_tree(rng: np.random.Generator) -> Tree:
    """Draw a tree 5 to 9 metres high, its foliage lighter at the top."""
    height, spread = rng.uniform(5, 9), rng.uniform(1.6, 3.2)
    number = int(rng.integers(26, 40))
    direction = rng.standard_normal((number, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centres = direction * spread * rng.uniform(0.3, 0.9, (number, 1)) * (1, 1, 0.7)
    order = np.argsort(centres[:, 2])
    hue, saturation, value = rng.uniform(0.2, 0.34), rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.5)
    lift = centres[order, 2] / spread
    colors = [hsv(hue, saturation, value * (1 + 0.6 * z + rng.normal(0, 0.12))) for z in lift]
    centres = centres[order] + (0, 0, height - spread)
    return Tree(centres, rng.uniform(0.2, 0.42, number) * spread, np.stack(colors))
