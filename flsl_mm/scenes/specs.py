"""Sample the random parameters of a procedural scene: objects, places, looks and motion."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .backgrounds import BACKGROUND_KINDS, BackgroundKind
from .objects import OBJECT_CLASSES, Style
from .textures import TILE, pick

SPLITS = ('train', 'val')
MIN_SIDE = 32
Role = Literal['stays', 'returns', 'enters']
_SPEED = {'stays': 1.0, 'returns': 0.4, 'enters': 0.4}


@dataclass(frozen=True)
class Motion:
    """The way of an object's center through a clip, in units of the short side, (x, y) from the image's center.

    Args:
        start: Center at time 0.
        drift: Straight displacement over the whole clip.
        sway: Amplitude of one slow oscillation.
        phase: Phase of the oscillation in turns.
        away: Displacement that takes the object out of the image.
        role: 'stays', 'returns' (out of the image in the middle of the clip) or 'enters' (out of it at first).
    """

    start: np.ndarray
    drift: np.ndarray
    sway: np.ndarray
    phase: float
    away: np.ndarray
    role: Role

    def absence(self, time: float) -> float:
        """How far the object is on its way out at a time in 0..1: 0 in its place, 1 out of the image."""
        if self.role == 'returns':
            return _smooth_step(time, 0.15, 0.42) - _smooth_step(time, 0.58, 0.85)
        return 1.0 - _smooth_step(time, 0.2, 0.55) if self.role == 'enters' else 0.0

    def center(self, time: float) -> np.ndarray:
        """Return the center (2,) at a time in 0..1."""
        swing = np.sin(2 * np.pi * (time + self.phase)) - np.sin(2 * np.pi * self.phase)
        return self.start + self.drift * time + self.sway * swing + self.away * self.absence(time)


@dataclass(frozen=True)
class ObjectSpec:
    """One object of a scene: class index, style, radius in short sides, orientation in radians, and motion."""

    label: int
    style: Style
    radius: float
    angle: float
    spin: float
    swell: float
    squash: tuple[float, float]
    motion: Motion


@dataclass(frozen=True)
class SceneSpec:
    """Everything random about a scene. ``light`` (3,) is the unit vector towards the light, z towards the viewer."""

    size_hw: tuple[int, int]
    background: BackgroundKind
    background_look: Style
    background_angle: float
    pan: np.ndarray
    light: np.ndarray
    shadow: float
    gain: np.ndarray
    slope: np.ndarray
    gamma: float
    noise: float
    noise_start: int
    objects: tuple[ObjectSpec, ...]


def _smooth_step(value: float, low: float, high: float) -> float:
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def scene_generator(kind: int, seed: int, split: str, index: int) -> np.random.Generator:
    """Return the random stream of one scene.

    Args:
        kind: Number of the family of scenes; families do not share streams.
        seed: Seed of the collection, 0 or more.
        split: 'train' or 'val'.
        index: Number of the scene in the collection, 0 or more.

    Raises:
        ValueError: For an unknown split or a negative seed or index.
    """
    if split not in SPLITS:
        raise ValueError(f'unknown split {split!r} of the scenes: use one of {", ".join(SPLITS)}')
    check_seed(seed)
    if index < 0:
        raise ValueError(f'index of a scene must be 0 or more, got {index}')
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, SPLITS.index(split), index)))


def check_seed(seed: int) -> None:
    """Raise ValueError for a negative seed."""
    if seed < 0:
        raise ValueError(f'seed must be 0 or more, got {seed}')


def check_size(size_hw: tuple[int, int]) -> None:
    """Raise ValueError where an image (height, width) is too small to show anything."""
    if min(size_hw) < MIN_SIDE:
        raise ValueError(
            f'scenes need at least {MIN_SIDE} pixels per side, got {size_hw[0]}x{size_hw[1]} (height x width)'
        )


def _sample_place(rng: np.random.Generator, half: np.ndarray, radius: float, others: list[ObjectSpec]) -> np.ndarray:
    """Draw a center that covers no earlier object altogether, if one is found in a few tries."""
    candidates = rng.uniform(-1, 1, (6, 2)) * (half - 0.4 * radius)
    for candidate in candidates:
        if all(np.hypot(*(candidate - o.motion.start)) > 0.62 * (radius + o.radius) for o in others):
            return candidate
    return candidates[-1]


def _sample_object(rng: np.random.Generator, half: np.ndarray, others: list[ObjectSpec], role: Role) -> ObjectSpec:
    label = int(rng.integers(len(OBJECT_CLASSES)))
    kind = OBJECT_CLASSES[label]
    radius = float(np.exp(rng.uniform(np.log(0.11), np.log(0.3))))
    start = _sample_place(rng, half, radius, others)
    speed = _SPEED[role]
    side = 1.0 if start[0] > 0 else -1.0
    motion = Motion(
        start=start,
        drift=rng.uniform(-0.3, 0.3, 2) * speed,
        sway=rng.uniform(-0.1, 0.1, 2) * speed,
        phase=float(rng.uniform()),
        # Past the edge by the radius at its largest, the drift and the sway, whatever they are.
        away=np.array([side * (half[0] + 1.3 * radius + 0.25) - start[0], 0.0]),
        role=role,
    )
    return ObjectSpec(
        label=label,
        style=kind.sample(rng),
        radius=radius,
        angle=float(rng.uniform(-kind.upright, kind.upright)),
        spin=float(rng.uniform(-1, 1) * min(kind.upright, 1.2)),
        swell=float(rng.uniform(-0.15, 0.15)),
        squash=(pick(rng, (-1.0, 1.0)) * rng.uniform(0.85, 1.0), rng.uniform(0.75, 1.0)),
        motion=motion,
    )


def sample_scene(rng: np.random.Generator, size_hw: tuple[int, int], roles: tuple[Role, ...] = ()) -> SceneSpec:
    """Draw everything random about a scene of 3 to 7 objects.

    Args:
        rng: Generator; see ``scene_generator``.
        size_hw: Height and width in pixels.
        roles: Roles of the second and following objects; every other object stays.

    Returns:
        The scene, to be painted by ``paint_scene``.
    """
    check_size(size_hw)
    half = np.array(size_hw[::-1]) / (2.0 * min(size_hw))
    kind = pick(rng, BACKGROUND_KINDS)
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 0.85)
    flat = np.sqrt(1 - height**2)
    background = dict(
        background=kind,
        background_look=kind.sample(rng),
        background_angle=0.0 if kind.upright else float(rng.uniform(0, 2 * np.pi)),
        pan=rng.uniform(-0.12, 0.12, 2),
        light=np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), height]),
        shadow=float(rng.uniform(0.3, 0.65)),
        gain=rng.uniform(0.85, 1.1) * rng.uniform(0.94, 1.06, 3).astype(np.float32),
        slope=rng.uniform(-0.2, 0.2, 2),
        gamma=float(rng.uniform(0.85, 1.2)),
        noise=float(rng.uniform(0.5, 4.0)),
        noise_start=int(rng.integers(TILE * TILE)),
    )
    objects: list[ObjectSpec] = []
    for number in range(max(int(rng.integers(3, 8)), len(roles) + 1)):
        role = roles[number - 1] if 0 < number <= len(roles) else 'stays'
        objects.append(_sample_object(rng, half, objects, role))
    return SceneSpec(size_hw=tuple(size_hw), objects=tuple(objects), **background)
