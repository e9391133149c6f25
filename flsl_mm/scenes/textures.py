"""Periodic noise tiles, colors and the pixel grids on which procedural scenes are painted.

The tiles are made once per process from a constant seed, so every scene that samples them is a pure function of its
own random numbers. A grid maps pixels to an object's own coordinates; textures sampled through it move, turn and scale
with the object.
"""

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

TILE = 512
_TILE_SEED = 20231


def _spectral(amplitude: Callable[[np.ndarray, np.ndarray], np.ndarray], key: int) -> np.ndarray:
    """Filter white noise by an amplitude spectrum of (fx, fy) in cycles per pixel; the result is periodic."""
    white = np.random.default_rng([_TILE_SEED, key]).standard_normal((TILE, TILE))
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE), np.fft.rfftfreq(TILE), indexing='ij')
    return np.fft.irfft2(np.fft.rfft2(white) * amplitude(fx, fy), s=(TILE, TILE))


def _power(exponent: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda fx, fy: np.maximum(np.hypot(fx, fy), 2.0 / TILE) ** -exponent


def _cells(key: int, pitch: int = 16) -> np.ndarray:
    """Distance to the nearest point of a jittered grid of the given pitch, with wrap-around: pebbles and scales."""
    nodes = np.stack(np.meshgrid(*[np.arange(0, TILE, pitch)] * 2, indexing='ij'), axis=-1)
    points = nodes + np.random.default_rng([_TILE_SEED, key]).integers(0, pitch, nodes.shape)
    seeds = np.ones((TILE, TILE), np.uint8)
    seeds[points[..., 0], points[..., 1]] = 0
    distance = cv2.distanceTransform(np.tile(seeds, (3, 3)), cv2.DIST_L2, cv2.DIST_MASK_5)
    return distance[TILE : 2 * TILE, TILE : 2 * TILE]


_MAKERS: dict[str, Callable[[], np.ndarray]] = {
    'white': lambda: _spectral(lambda fx, fy: np.ones_like(fx), 0),
    'clouds': lambda: _spectral(_power(1.9), 1),
    'rough': lambda: _spectral(_power(1.1), 2),
    'grain': lambda: _spectral(lambda fx, fy: np.exp(-((np.hypot(fx, fy) / 0.16) ** 2)), 3),
    'fibers': lambda: _spectral(lambda fx, fy: np.exp(-((fx / 0.012) ** 2)) * np.maximum(np.abs(fy), 0.01) ** -0.6, 4),
    'ripples': lambda: _spectral(lambda fx, fy: np.exp(-(((np.abs(fy) - 0.03) / 0.013) ** 2) - (fx / 0.013) ** 2), 5),
    'blades': lambda: _spectral(lambda fx, fy: np.exp(-((fy / 0.05) ** 2) - ((fx / 0.2) ** 2)), 6),
    'cells': lambda: _cells(7),
}


@cache
def noise_tile(name: str) -> np.ndarray:
    """Return the named periodic tile (TILE, TILE) float32 with mean 0, standard deviation 1, clipped to +-3."""
    values = _MAKERS[name]()
    return np.clip((values - values.mean()) / values.std(), -3, 3).astype(np.float32)


@cache
def _noise_bytes(name: str) -> np.ndarray:
    """Return the tile as (TILE, TILE) uint8, -3..3 spread over 0..255: sampling it takes a third of the time."""
    return np.rint((noise_tile(name) + 3) * (255 / 6)).astype(np.uint8)


def pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    """Return one of the options with equal chance (several times faster than Generator.choice)."""
    return options[rng.integers(len(options))]


def random_offset(rng: np.random.Generator) -> tuple[float, float]:
    """Return a random tile pixel (x, y), for ``Grid.texture``."""
    x, y = rng.uniform(0, TILE, 2)
    return float(x), float(y)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return an RGB color (3,) float32 in 0..1; the hue wraps, saturation and value are clipped to 0..1."""
    red_green_blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return np.array(red_green_blue, np.float32)


def mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Blend two colors, each (3,) or (H, W, 3), by a weight (H, W) in 0..1 of the second; (H, W, 3)."""
    result = (second - first) * weight[..., None]
    result += first
    return result


def ramp(colors: tuple[np.ndarray, ...], position: np.ndarray) -> np.ndarray:
    """Map positions (H, W), clipped to 0..1, through evenly spaced colors (3,); (H, W, 3) float32."""
    stops = np.linspace(0, 255, len(colors))
    channels = [np.interp(np.arange(256), stops, [color[c] for color in colors]) for c in range(3)]
    table = np.stack(channels, axis=1).astype(np.float32)
    return table[np.clip(position * 255, 0, 255).astype(np.uint8)]


def soft_step(values: np.ndarray, softness: float) -> np.ndarray:
    """A step at 0 whose rise takes ``softness`` of the values' unit; float32 in 0..1."""
    return np.clip(values * (1.0 / softness) + 0.5, 0, 1)


@dataclass(frozen=True)
class Grid:
    """A rectangle of pixels with the coordinates (u, v) of an object or a background.

    Args:
        u: (H, W) first coordinate of every pixel.
        v: (H, W) second coordinate of every pixel.
        affine: (2, 3) matrix from pixel (x, y) of the rectangle to (u, v).
    """

    u: np.ndarray
    v: np.ndarray
    affine: np.ndarray

    @classmethod
    def make(cls, size_hw: tuple[int, int], affine: np.ndarray) -> 'Grid':
        """Evaluate the (2, 3) matrix from pixels to coordinates on a rectangle of (height, width) pixels."""
        height, width = size_hw
        x = np.arange(width, dtype=np.float32)
        y = np.arange(height, dtype=np.float32)[:, None]
        matrix = affine.astype(np.float32)
        u = matrix[0, 0] * x + (matrix[0, 1] * y + matrix[0, 2])
        v = matrix[1, 0] * x + (matrix[1, 1] * y + matrix[1, 2])
        return cls(u, v, affine)

    def texture(self, name: str, pixels_per_unit: float, offset: tuple[float, float], turn: bool = False) -> np.ndarray:
        """Sample a tile in this grid's coordinates.

        Args:
            name: Tile.
            pixels_per_unit: Tile pixels for a unit of u or v.
            offset: Tile pixel (x, y) at the origin.
            turn: Exchange the tile's axes (fibers then run along v).

        Returns:
            (H, W) float32, mean 0 and standard deviation 1 over the whole tile.
        """
        matrix = self.affine * pixels_per_unit
        matrix = matrix[::-1].copy() if turn else matrix
        matrix[:, 2] = (matrix[:, 2] + offset) % TILE
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = self.u.shape[::-1]
        sample = cv2.warpAffine(_noise_bytes(name), matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP)
        return sample * np.float32(6 / 255) - np.float32(3)
