"""Object classes of the procedural scenes: random parameters of a member, and how it is painted.

A painter works on a grid whose coordinates put the object in the unit disc, v pointing down. It returns a field (H, W),
negative inside the object, and the colors (H, W, 3) in 0..1 before shading. A style is what one member of the class
keeps through a video; styles overlap in hue between the classes, so that color alone does not tell them apart.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .textures import Grid, hsv, mix, pick, ramp, random_offset, soft_step

Style = dict[str, Any]


class ObjectClass(NamedTuple):
    """One class of objects.

    Args:
        name: Category name.
        sample: Draws a member's style from a generator.
        paint: Grid and style -> (field (H, W), colors (H, W, 3)).
        bevel: Depth, in object radii, over which the surface curves towards the edge; 1 is a hemisphere.
        gloss: Strength of the highlight.
        upright: Largest turn away from upright in radians; pi for any orientation.
    """

    name: str
    sample: Callable[[np.random.Generator], Style]
    paint: Callable[[Grid, Style], tuple[np.ndarray, np.ndarray]]
    bevel: float
    gloss: float
    upright: float


def _sample_ball(rng: np.random.Generator) -> Style:
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    hue = pick(rng, (0.0, 0.08, 0.15, 0.36, 0.58, 0.7, 0.93)) + rng.normal(0, 0.02)
    pale = hsv(rng.uniform(), rng.uniform(0.0, 0.2), rng.uniform(0.75, 1.0))
    other = hsv(hue + pick(rng, (0.12, 0.33, 0.5)), rng.uniform(0.5, 0.9), rng.uniform(0.35, 0.9))
    return dict(
        axes=axes.astype(np.float32),
        colors=(hsv(hue, rng.uniform(0.55, 0.95), rng.uniform(0.5, 0.95)), pale if rng.uniform() < 0.6 else other),
        style=pick(rng, ('panels', 'bands', 'patches')),
        count=int(rng.integers(2, 5)),
        offset=random_offset(rng),
    )


def _paint_ball(grid: Grid, style: Style) -> tuple[np.ndarray, np.ndarray]:
    squared = grid.u * grid.u + grid.v * grid.v
    height = np.sqrt(np.maximum(1 - squared, 0))
    first, second, third = (grid.u * a + grid.v * b + height * c for a, b, c in style['axes'])
    if style['style'] == 'panels':
        pattern = np.sin(style['count'] * np.arctan2(first, second))
    elif style['style'] == 'bands':
        pattern = np.sin((1.5 * style['count']) * third)
    else:
        pattern = np.maximum.reduce([np.abs(first), np.abs(second), np.abs(third)]) - 0.88
        pattern *= 6.0
    colors = mix(*style['colors'], soft_step(pattern, 0.35))
    colors *= (1 + 0.05 * grid.texture('grain', 60, style['offset']))[..., None]
    return np.sqrt(squared) - 1, colors


def _sample_leaf(rng: np.random.Generator) -> Style:
    hue = pick(rng, (0.30, 0.28, 0.24, 0.14, 0.08, 0.01)) + rng.normal(0, 0.02)
    value = rng.uniform(0.35, 0.8)
    saturation = rng.uniform(0.5, 0.9)
    return dict(
        colors=(
            hsv(hue, saturation, value),
            hsv(hue - rng.uniform(0.0, 0.08), saturation * 0.9, value * rng.uniform(0.6, 1.2)),
            hsv(hue - 0.02, saturation * 0.5, min(value * 1.6, 1.0)),
        ),
        width=rng.uniform(0.22, 0.46),
        skew=rng.uniform(0.7, 1.3),
        teeth=int(pick(rng, (0, 9, 14))),
        veins=rng.uniform(5, 9),
        offset=random_offset(rng),
    )


def _paint_leaf(grid: Grid, style: Style) -> tuple[np.ndarray, np.ndarray]:
    u, side = grid.u, np.abs(grid.v)
    along = np.clip((u + 0.72) * (1 / 1.72), 0.0, 1.0)
    skewed = along ** style['skew']
    width = style['width'] * np.sqrt(4 * skewed * (1 - skewed)) * (0.55 + 0.45 * np.sqrt(1 - along))
    if style['teeth']:
        width *= 1 + 0.09 * np.abs(np.sin((np.pi * style['teeth']) * along))
    blade = np.maximum(side - width, np.abs(u - 0.14) - 0.86)
    stem = np.maximum(side - 0.03, np.abs(u + 0.82) - 0.16)
    mottled = (
        0.5 + 0.22 * grid.texture('clouds', 90, style['offset']) + 0.1 * grid.texture('grain', 60, style['offset'])
    )
    colors = ramp(style['colors'][:2], mottled + 0.5 * side)
    phase = (style['veins'] * (u - 0.8 * side)) % 1.0
    vein = np.maximum(soft_step(0.10 - np.abs(phase - 0.5), 0.1) * 0.55, soft_step(0.025 - side, 0.03))
    return np.minimum(blade, stem), mix(colors, style['colors'][2], vein)


def _sample_fish(rng: np.random.Generator) -> Style:
    hue = pick(rng, (0.57, 0.52, 0.06, 0.13, 0.45, 0.98)) + rng.normal(0, 0.025)
    saturation = rng.uniform(0.25, 0.9)
    return dict(
        back=hsv(hue, saturation, rng.uniform(0.3, 0.65)),
        belly=hsv(hue + rng.uniform(-0.06, 0.06), saturation * 0.35, rng.uniform(0.75, 1.0)),
        fins=hsv(hue + pick(rng, (0.0, 0.1, -0.1, 0.5)), rng.uniform(0.4, 0.9), rng.uniform(0.45, 0.9)),
        mark=hsv(hue + pick(rng, (0.0, 0.5)), saturation * 0.8, pick(rng, (0.15, 0.25, 0.95))),
        style=pick(rng, ('stripes', 'scales', 'line')),
        height=rng.uniform(0.3, 0.5),
        count=rng.uniform(9, 16),
        offset=random_offset(rng),
    )


def _paint_fish(grid: Grid, style: Style) -> tuple[np.ndarray, np.ndarray]:
    u, v, side, height = grid.u, grid.v, np.abs(grid.v), style['height']
    along = np.clip((u + 0.62) * (1 / 1.62), 0.0, 1.0)
    width = height * np.sqrt(4 * along * (1 - along)) * (0.72 + 0.28 * along)
    body = np.maximum(side - width, np.abs(u - 0.19) - 0.81)
    tail = np.maximum(side - (0.05 - 0.85 * (u + 0.48)), np.maximum(u + 0.46, -0.74 - 0.4 * side - u))
    fin = 0.3 * (np.sqrt(((u - 0.02) * 2.6) ** 2 + ((v + height * 0.88) * 4.5) ** 2) - 1)
    colors = ramp((style['back'], style['back'], style['belly'], style['belly']), v * (0.5 / height) + 0.5)
    if style['style'] == 'stripes':
        mark = soft_step(np.sin(style['count'] * u + 1.5 * v) - 0.35, 0.5)
    elif style['style'] == 'scales':
        mark = 0.6 * soft_step(grid.texture('cells', 110, style['offset']) - 0.5, 1.2)
    else:
        mark = soft_step(0.07 - np.abs(v + 0.12 * height), 0.04)
    colors = mix(colors, style['mark'], 0.8 * mark)
    outside = soft_step(body, 0.03)
    colors = mix(colors, style['fins'] * (1 + 0.25 * np.sin(40 * v + 25 * u)[..., None]), outside)
    eye = np.sqrt((u - 0.68) ** 2 + (v + 0.3 * height) ** 2)
    colors = mix(colors, hsv(0.12, 0.15, 0.95), soft_step(0.085 - eye, 0.03))
    colors = mix(colors, hsv(0, 0, 0.05), soft_step(0.05 - eye, 0.02))
    return np.minimum(np.minimum(body, tail), fin), colors


def _sample_flower(rng: np.random.Generator) -> Style:
    hue = pick(rng, (0.92, 0.78, 0.14, 0.98, 0.62, 0.05)) + rng.normal(0, 0.02)
    saturation = pick(rng, (0.08, 0.45, 0.8)) + rng.uniform(-0.05, 0.1)
    value = rng.uniform(0.7, 1.0)
    return dict(
        petals=(
            hsv(hue + rng.uniform(-0.06, 0.06), saturation + 0.2, value * rng.uniform(0.5, 0.8)),
            hsv(hue, saturation, value),
            hsv(hue, saturation * 0.7, value),
        ),
        center=hsv(pick(rng, (0.13, 0.09, 0.2)), rng.uniform(0.6, 0.95), rng.uniform(0.25, 0.9)),
        count=int(rng.integers(5, 10)),
        inner=rng.uniform(0.35, 0.62),
        roundness=rng.uniform(0.35, 0.9),
        disc=rng.uniform(0.16, 0.32),
        offset=random_offset(rng),
    )


def _paint_flower(grid: Grid, style: Style) -> tuple[np.ndarray, np.ndarray]:
    radius = np.sqrt(grid.u * grid.u + grid.v * grid.v)
    lobe = np.abs(np.cos((0.5 * style['count']) * np.arctan2(grid.v, grid.u)))
    reach = style['inner'] + (1 - style['inner']) * lobe ** style['roundness']
    streaks = 0.06 * grid.texture('rough', 70, style['offset'])
    colors = ramp(style['petals'], radius * 1.05 - 0.08 + streaks)
    colors *= (0.62 + 0.38 * soft_step(lobe - 0.2, 0.5))[..., None]
    heart = style['center'] * (1 + 0.22 * grid.texture('grain', 80, style['offset']))[..., None]
    return radius - reach, mix(colors, heart, soft_step(style['disc'] - radius, 0.06))


def _sample_crate(rng: np.random.Generator) -> Style:
    painted = rng.uniform() < 0.3
    hue = pick(rng, (0.35, 0.58, 0.0, 0.14)) if painted else rng.uniform(0.05, 0.11)
    saturation = rng.uniform(0.3, 0.6) if painted else rng.uniform(0.2, 0.65)
    value = rng.uniform(0.4, 0.85)
    return dict(
        color=hsv(hue, saturation, value),
        frame=hsv(hue + rng.normal(0, 0.01), saturation * rng.uniform(0.7, 1.1), value * pick(rng, (0.75, 1.15))),
        half=(0.7, 0.7 * rng.uniform(0.6, 1.0)),
        planks=int(rng.integers(3, 6)),
        brace=pick(rng, (-1.0, 0.0, 1.0)),
        shades=rng.uniform(0.8, 1.12, 6).astype(np.float32),
        offset=random_offset(rng),
    )


def _paint_crate(grid: Grid, style: Style) -> tuple[np.ndarray, np.ndarray]:
    half_u, half_v = style['half']
    side_u, side_v = np.abs(grid.u) / half_u, np.abs(grid.v) / half_v
    field = np.maximum((side_u - 1) * half_u, (side_v - 1) * half_v)
    rows = (grid.v * (0.5 / half_v) + 0.5) * style['planks']
    row = np.clip(rows, 0, 5).astype(np.intp)
    gap = soft_step(0.05 - np.abs(rows - np.rint(rows)), 0.06)
    grain = 0.13 * grid.texture('fibers', 70, style['offset'])
    colors = style['color'] * (style['shades'][row] * (1 + grain) * (1 - 0.6 * gap))[..., None]
    border = np.maximum(side_u, side_v)
    framed = soft_step(border - 0.78, 0.03)
    if style['brace']:
        diagonal = np.abs(grid.u / half_u + style['brace'] * grid.v / half_v)
        framed = np.maximum(framed, soft_step(0.2 - diagonal, 0.03))
    edge = np.abs(border - 0.78) < 0.025
    colors = mix(colors, style['frame'] * (1 + 0.8 * grain)[..., None], framed)
    colors[edge] *= 0.6
    nail = np.sqrt((side_u - 0.89) ** 2 + (side_v - 0.89) ** 2)
    return field, mix(colors, hsv(0.6, 0.1, 0.25), soft_step(0.045 - nail, 0.03))


def _sample_mushroom(rng: np.random.Generator) -> Style:
    hue = pick(rng, (0.0, 0.06, 0.09, 0.8, 0.12)) + rng.normal(0, 0.015)
    spots = np.stack([rng.uniform(-0.75, 0.75, 9), rng.uniform(-0.75, 0.0, 9), rng.uniform(0.06, 0.14, 9)], axis=1)
    return dict(
        cap=hsv(hue, rng.uniform(0.35, 0.9), rng.uniform(0.35, 0.85)),
        dark=hsv(hue, rng.uniform(0.5, 0.9), rng.uniform(0.2, 0.4)),
        stem=hsv(rng.uniform(0.08, 0.14), rng.uniform(0.08, 0.3), rng.uniform(0.65, 0.95)),
        spots=spots[: int(pick(rng, (0, 6, 9)))].astype(np.float32),
        rise=rng.uniform(0.55, 0.85),
        stalk=rng.uniform(0.15, 0.28),
        offset=random_offset(rng),
    )


def _paint_mushroom(grid: Grid, style: Style) -> tuple[np.ndarray, np.ndarray]:
    u, v = grid.u, grid.v
    across = u * (1 / 0.92)
    dome = np.sqrt(across * across + ((v - 0.03) * (1 / style['rise'])) ** 2)
    cap = np.maximum((dome - 1) * 0.75, v - 0.03 - 0.1 * (1 - across * across))
    stem = np.maximum(np.abs(u) - style['stalk'] * (0.8 + 0.35 * np.maximum(v, 0)), np.abs(v - 0.45) - 0.48)
    mottled = 0.25 * grid.texture('clouds', 80, style['offset'])
    colors = ramp((style['cap'], style['cap'], style['dark']), dome * 0.75 + mottled)
    spots = [size - np.sqrt((u - x) ** 2 + ((v - y) * 1.25) ** 2) for x, y, size in style['spots']]
    if spots:
        colors = mix(colors, hsv(0.12, 0.1, 0.95), soft_step(np.maximum.reduce(spots), 0.03))
    shade = 1 - 0.55 * soft_step(0.25 - v, 0.3) + 0.12 * grid.texture('fibers', 60, style['offset'], turn=True)
    return np.minimum(cap, stem), mix(colors, style['stem'] * shade[..., None], soft_step(cap, 0.02))


OBJECT_CLASSES = (
    ObjectClass('ball', _sample_ball, _paint_ball, bevel=1.0, gloss=0.45, upright=np.pi),
    ObjectClass('leaf', _sample_leaf, _paint_leaf, bevel=0.12, gloss=0.1, upright=np.pi),
    ObjectClass('fish', _sample_fish, _paint_fish, bevel=0.3, gloss=0.3, upright=0.9),
    ObjectClass('flower', _sample_flower, _paint_flower, bevel=0.12, gloss=0.0, upright=np.pi),
    ObjectClass('crate', _sample_crate, _paint_crate, bevel=0.07, gloss=0.0, upright=0.6),
    ObjectClass('mushroom', _sample_mushroom, _paint_mushroom, bevel=0.35, gloss=0.15, upright=0.5),
)
