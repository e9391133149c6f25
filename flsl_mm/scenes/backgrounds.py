"""Backgrounds of the procedural scenes: kinds of ground, each drawn at random within its range.

A painter works on a grid whose unit is the image's short side, v pointing down, and returns colors (H, W, 3) in
0..1. Only the hills have an up and a down; every other kind is turned by a random angle.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .textures import Grid, hsv, mix, pick, ramp, random_offset, soft_step

Style = dict[str, Any]


class BackgroundKind(NamedTuple):
    """One kind of background: how a style is drawn, how it is painted, and whether it keeps upright."""

    name: str
    sample: Callable[[np.random.Generator], Style]
    paint: Callable[[Grid, Style], np.ndarray]
    upright: bool = False


def _shades(hue: float, saturation: float, values: tuple[float, ...], rng: np.random.Generator) -> tuple:
    """Colors of one hue family from dark to light, with jitter."""
    drift = rng.normal(0, 0.02)
    gain = rng.uniform(0.8, 1.15)
    return tuple(hsv(hue + drift * k, saturation * (1 - 0.15 * k), v * gain) for k, v in enumerate(values))


def _sample_meadow(rng: np.random.Generator) -> Style:
    hue = pick(rng, (0.30, 0.25, 0.20, 0.13, 0.09))
    return dict(colors=_shades(hue, rng.uniform(0.4, 0.7), (0.16, 0.36, 0.6), rng), offset=random_offset(rng))


def _paint_meadow(grid: Grid, style: Style) -> np.ndarray:
    blades = grid.texture('blades', 260, style['offset'])
    patches = grid.texture('clouds', 170, style['offset'])
    return ramp(style['colors'], 0.5 + 0.14 * blades + 0.17 * patches)


def _sample_sand(rng: np.random.Generator) -> Style:
    hue = rng.uniform(0.07, 0.13)
    return dict(
        colors=_shades(hue, rng.uniform(0.2, 0.45), (0.45, 0.68, 0.9), rng),
        ripples=rng.uniform(0.0, 0.16),
        offset=random_offset(rng),
    )


def _paint_sand(grid: Grid, style: Style) -> np.ndarray:
    tone = 0.5 + style['ripples'] * grid.texture('ripples', 330, style['offset'])
    tone += 0.08 * grid.texture('grain', 260, style['offset']) + 0.12 * grid.texture('clouds', 200, style['offset'])
    return ramp(style['colors'], tone)


def _sample_water(rng: np.random.Generator) -> Style:
    hue = rng.uniform(0.46, 0.62)
    glint = hsv(hue, 0.1, rng.uniform(0.8, 1.0))
    return dict(
        colors=(*_shades(hue, rng.uniform(0.45, 0.8), (0.2, 0.36, 0.55), rng), glint), offset=random_offset(rng)
    )


def _paint_water(grid: Grid, style: Style) -> np.ndarray:
    tone = (
        0.36 + 0.14 * grid.texture('ripples', 240, style['offset']) + 0.1 * grid.texture('clouds', 150, style['offset'])
    )
    tone += 0.07 * grid.texture('ripples', 610, style['offset'])
    return ramp(style['colors'], tone)


def _sample_planks(rng: np.random.Generator) -> Style:
    gray = rng.uniform() < 0.3
    return dict(
        color=hsv(rng.uniform(0.05, 0.1), rng.uniform(0.03, 0.15) if gray else rng.uniform(0.3, 0.6), 1.0),
        value=rng.uniform(0.35, 0.7),
        count=rng.uniform(4, 9),
        shades=rng.uniform(0.78, 1.15, 64).astype(np.float32),
        offset=random_offset(rng),
    )


def _paint_planks(grid: Grid, style: Style) -> np.ndarray:
    rows = grid.v * style['count']
    row = np.floor(rows)
    tone = style['shades'][row.astype(np.intp) % 64] * (1 + 0.17 * grid.texture('fibers', 220, style['offset']))
    seam = np.minimum(rows - row, row + 1 - rows)
    tone *= 1 - 0.55 * soft_step(0.04 - seam, 0.05)
    return style['color'] * (style['value'] * tone)[..., None]


def _sample_tiles(rng: np.random.Generator) -> Style:
    hue = pick(rng, (0.02, 0.06, 0.1, 0.55, 0.6, 0.4))
    return dict(
        color=hsv(hue, rng.uniform(0.08, 0.55), rng.uniform(0.45, 0.85)),
        joint=hsv(0.1, rng.uniform(0.0, 0.12), rng.uniform(0.3, 0.85)),
        rows=rng.uniform(4, 10),
        aspect=pick(rng, (1.0, 2.0, 2.6)),
        shades=rng.uniform(0.8, 1.15, 64).astype(np.float32),
        offset=random_offset(rng),
    )


def _paint_tiles(grid: Grid, style: Style) -> np.ndarray:
    rows = grid.v * style['rows']
    row = np.floor(rows)
    columns = grid.u * (style['rows'] / style['aspect']) + 0.5 * (row % 2) * (style['aspect'] > 1)
    column = np.floor(columns)
    to_row = 0.5 - np.abs(rows - row - 0.5)
    to_column = (0.5 - np.abs(columns - column - 0.5)) * style['aspect']
    joint = soft_step(0.05 - np.minimum(to_row, to_column), 0.05)
    tone = style['shades'][(row * 7 + column * 13).astype(np.intp) % 64]
    tone = tone * (1 + 0.07 * grid.texture('rough', 200, style['offset']))
    return mix(style['color'] * tone[..., None], style['joint'], joint)


def _sample_gravel(rng: np.random.Generator) -> Style:
    hue = pick(rng, (0.08, 0.1, 0.58))
    return dict(
        colors=_shades(hue, rng.uniform(0.04, 0.3), (0.78, 0.55, 0.22), rng),
        size=rng.uniform(150, 330),
        offset=random_offset(rng),
    )


def _paint_gravel(grid: Grid, style: Style) -> np.ndarray:
    cells = grid.texture('cells', style['size'], style['offset'])
    tone = 0.3 + 0.1 * cells + 0.4 * soft_step(cells - 1.0, 0.8)
    return ramp(style['colors'], tone + 0.09 * grid.texture('rough', 150, style['offset']))


def _sample_plain(rng: np.random.Generator) -> Style:
    hue = rng.uniform()
    return dict(
        colors=_shades(hue, rng.uniform(0.02, 0.3), (0.45, 0.62, 0.82), rng),
        offset=random_offset(rng),
        weave=rng.uniform(0.0, 0.1),
    )


def _paint_plain(grid: Grid, style: Style) -> np.ndarray:
    tone = (
        0.5 + 0.16 * grid.texture('clouds', 150, style['offset']) + 0.05 * grid.texture('rough', 240, style['offset'])
    )
    tone += style['weave'] * (
        grid.texture('fibers', 330, style['offset']) + grid.texture('blades', 330, style['offset'])
    )
    return ramp(style['colors'], tone)


def _sample_checks(rng: np.random.Generator) -> Style:
    hue = rng.uniform()
    base = rng.uniform(0.55, 0.95)
    return dict(
        colors=(
            hsv(hue, rng.uniform(0.0, 0.25), base),
            hsv(hue + rng.normal(0, 0.05), rng.uniform(0.2, 0.6), base * rng.uniform(0.5, 0.85)),
        ),
        count=rng.uniform(10, 28),
        both=rng.uniform() < 0.6,
        offset=random_offset(rng),
    )


def _paint_checks(grid: Grid, style: Style) -> np.ndarray:
    weight = 0.5 * soft_step(np.sin(style['count'] * grid.u), 0.3)
    weight = weight + 0.5 * soft_step(np.sin(style['count'] * grid.v), 0.3) if style['both'] else 2 * weight
    weave = 0.05 * (grid.texture('fibers', 330, style['offset']) + grid.texture('blades', 330, style['offset']))
    folds = 0.06 * grid.texture('clouds', 120, style['offset'])
    return mix(*style['colors'], weight) * (1 + weave + folds)[..., None]


def _sample_hills(rng: np.random.Generator) -> Style:
    sky = rng.uniform(0.53, 0.62)
    return dict(
        sky=(hsv(sky, rng.uniform(0.3, 0.65), rng.uniform(0.55, 0.9)), hsv(sky - 0.03, 0.15, 0.92), hsv(0, 0, 1.0)),
        far=hsv(sky - 0.1, rng.uniform(0.15, 0.4), rng.uniform(0.4, 0.65)),
        near=_shades(pick(rng, (0.3, 0.24, 0.1, 0.08)), rng.uniform(0.3, 0.6), (0.16, 0.38, 0.6), rng),
        horizon=rng.uniform(-0.2, 0.12),
        waves=(rng.uniform(2, 6), rng.uniform(2, 6)),
        phases=(rng.uniform(0, 6.3), rng.uniform(0, 6.3)),
        offset=random_offset(rng),
    )


def _paint_hills(grid: Grid, style: Style) -> np.ndarray:
    u, horizon = grid.u, style['horizon']
    (wave, other), (phase, second) = style['waves'], style['phases']
    clouds = grid.texture('clouds', 150, style['offset'])
    colors = ramp(style['sky'], (grid.v - horizon + 0.6) * 0.7 + 0.25 * np.maximum(clouds, 0))
    ridge = horizon - 0.09 - 0.05 * np.sin(wave * u + phase) - 0.03 * np.sin(2.3 * other * u + second)
    colors = mix(colors, style['far'] * (1 + 0.05 * clouds)[..., None], soft_step(grid.v - ridge, 0.012))
    near = horizon + 0.03 * np.sin(other * u + phase)
    ground = (
        0.5 + 0.12 * grid.texture('blades', 260, style['offset']) + 0.15 * grid.texture('rough', 120, style['offset'])
    )
    return mix(colors, ramp(style['near'], ground), soft_step(grid.v - near, 0.012))


BACKGROUND_KINDS = (
    BackgroundKind('meadow', _sample_meadow, _paint_meadow),
    BackgroundKind('sand', _sample_sand, _paint_sand),
    BackgroundKind('water', _sample_water, _paint_water),
    BackgroundKind('planks', _sample_planks, _paint_planks),
    BackgroundKind('tiles', _sample_tiles, _paint_tiles),
    BackgroundKind('gravel', _sample_gravel, _paint_gravel),
    BackgroundKind('plain', _sample_plain, _paint_plain),
    BackgroundKind('checks', _sample_checks, _paint_checks),
    BackgroundKind('hills', _sample_hills, _paint_hills, upright=True),
)
