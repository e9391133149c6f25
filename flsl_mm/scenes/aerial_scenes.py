"""Procedural scenes seen from above: traffic in a town, with the annotations and the attributes of UAVDT.

The three groups of attributes show in the picture: night is dark under street lamps and headlights, fog hides what is
far, the altitude sets the size of the vehicles, and the view sets where the camera looks. Vehicles carry the codes of
the benchmark's toolkit: out of view 1 no, 2 medium (30 to 50% of the vehicle), 3 small (up to 30%); occlusion 1 no,
2 large (more than 70% of the part in the picture), 3 medium (30 to 70%), 4 small (up to 30%). Up to 1% counts as no.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .aerial_camera import Camera
from .aerial_painting import FrameLook, paint_frame
from .aerial_silhouette import Silhouette
from .aerial_town import Placed, Rectangle, Town, paint_ground, sample_town
from .specs import check_size, scene_generator

Box = tuple[int, int, int, int]

WEATHERS = ('daylight', 'night', 'fog')
ALTITUDES = ('low', 'medium', 'high')
VIEWS = ('front', 'side', 'bird')
LONG_TERM_FRAMES = 1500
_AERIAL = 2
_SWAY_SECONDS = 24.0
_SECONDS_PER_FRAME = 1 / 15
_DISTANCES = {'low': (27.0, 36.0), 'medium': (52.0, 70.0), 'high': (95.0, 125.0)}
_MIN_PIXELS = 12
_NONE = 0.01


@dataclass(frozen=True)
class Conditions:
    """The three attributes of a sequence.

    Args:
        weather: 'daylight', 'night' or 'fog'.
        altitude: 'low', 'medium' or 'high'.
        view: 'front' (along the road), 'side' (across it) or 'bird' (straight down).
    """

    weather: str
    altitude: str
    view: str

    def flags(self, num_frames: int) -> tuple[int, ...]:
        """Return UAVDT's ten flags: three each of weather, altitude and view, and long-term."""
        groups = ((self.weather, WEATHERS), (self.altitude, ALTITUDES), (self.view, VIEWS))
        flags = [int(value == option) for value, options in groups for option in options]
        return (*flags, int(num_frames >= LONG_TERM_FRAMES))


@dataclass(frozen=True)
class Target:
    """An annotated vehicle in a frame.

    Args:
        target_id: Number of the vehicle, the same in every frame.
        box: Left, top, width, height in pixels of the whole vehicle, hidden parts and parts outside the picture too.
        out_of_view: Code 1, 2 or 3; vehicles that are more than half outside are not annotated.
        occlusion: Code 1, 2, 3 or 4.
        category: 1 car, 2 truck, 3 bus.
    """

    target_id: int
    box: Box
    out_of_view: int
    occlusion: int
    category: int


@dataclass(frozen=True)
class AerialFrame:
    """A painted frame.

    Args:
        image: (H, W, 3) uint8 RGB.
        instance_map: (H, W) int32, the target_id of the annotated vehicle visible at each pixel, or 0.
        targets: Annotated vehicles.
        ignored: Regions that are not annotated, by a number that is the same in every frame: left, top, width, height
            in pixels, within the picture.
    """

    image: np.ndarray
    instance_map: np.ndarray
    targets: tuple[Target, ...]
    ignored: dict[int, Box]


@dataclass(frozen=True)
class _Flight:
    """Where the camera looks over time: a hover round one place."""

    target: np.ndarray
    sway: np.ndarray
    phase: float
    distance: float
    heading: float
    turn: float
    pitch: float
    size_hw: tuple[int, int]

    def camera(self, seconds: float) -> Camera:
        swing = np.sin(2 * np.pi * (seconds / _SWAY_SECONDS + self.phase))
        height, width = self.size_hw
        # The vertical angle of view stays below 32 degrees, so that every row of pixels looks below the horizon.
        focal = 0.95 * max(width, 1.9 * height)
        target, heading = self.target + self.sway * swing, self.heading + self.turn * swing
        return Camera.look_at(target, self.distance, heading, self.pitch, focal, self.size_hw)


def render_aerial_clip(
    seed: int, index: int, num_frames: int, size_hw: tuple[int, int], conditions: Conditions, split: str = 'train'
) -> Iterator[AerialFrame]:
    """Paint the frames of a sequence at 15 frames a second.

    Args:
        seed, index, split: As for `scenes.render_scene`.
        num_frames: Number of frames.
        size_hw: Height and width in pixels, at least 32 each.
        conditions: Weather, altitude and view.

    Raises:
        ValueError: For an unknown split, a negative seed or index, or too small a picture.
    """
    check_size(size_hw)
    rng = scene_generator(_AERIAL, seed, split, index)
    seconds = num_frames * _SECONDS_PER_FRAME
    flight = _sample_flight(rng, conditions, size_hw)
    cameras = [flight.camera(time) for time in np.linspace(0, _SWAY_SECONDS, 9)]
    corners = np.concatenate([camera.ground_extent() for camera in cameras])
    low, high = corners.min(axis=0) - 6, corners.max(axis=0) + 6
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    open_side = -np.sign(np.sin(flight.heading)) if conditions.view == 'side' else 0.0
    town = sample_town(rng, extent, seconds, 0.32 * float(cameras[0].position[2]), open_side)
    scale = min(22.0, 1.7 * max(size_hw) / max(high - low))
    look = FrameLook.sample(rng, conditions.weather, paint_ground(rng, town, scale), scale)
    far_row = _far_row(flight.camera(0.0)) if conditions.view != 'bird' and rng.uniform() < 0.5 else 0
    for frame in range(num_frames):
        seconds = frame * _SECONDS_PER_FRAME
        yield _render_frame(town, look, flight.camera(seconds), seconds, far_row)


def _sample_flight(rng: np.random.Generator, conditions: Conditions, size_hw: tuple[int, int]) -> _Flight:
    wobble = rng.normal(0, np.radians(5))
    if conditions.view == 'bird':
        heading, pitch = rng.integers(4) * np.pi / 2 + wobble, np.pi / 2 - abs(rng.normal(0, 0.02))
    else:
        across = np.pi / 2 if conditions.view == 'side' else 0.0
        heading, pitch = across + rng.integers(2) * np.pi + wobble, np.radians(rng.uniform(38, 52))
    return _Flight(
        target=np.array([rng.uniform(-4, 4), 0.0]),
        sway=rng.uniform(-4, 4, 2),
        phase=float(rng.uniform()),
        distance=float(rng.uniform(*_DISTANCES[conditions.altitude])),
        heading=float(heading),
        turn=float(rng.normal(0, np.radians(2))),
        pitch=float(pitch),
        size_hw=tuple(size_hw),
    )


def _far_row(camera: Camera) -> int:
    """Return the number of rows at the top that look more than 1.3 times as far as the picture's middle."""
    distances = camera.row_distances()
    return int((distances > 1.3 * distances[len(distances) // 2]).sum())


def _render_frame(town: Town, look: FrameLook, camera: Camera, seconds: float, far_row: int) -> AerialFrame:
    image, owners, silhouettes = paint_frame(town, look, camera, seconds)
    height, width = camera.size_hw
    ignored = {1: (0, 0, width, far_row)} if far_row else {}
    for number, lot in enumerate(town.lots, start=2):
        box = _lot_box(lot, camera)
        if box is not None:
            ignored[number] = box
    visible = np.bincount(owners.ravel(), minlength=len(town.placed) + 1)
    targets = []
    for number, silhouette in silhouettes.items():
        target = annotate(
            number, town.placed[number - 1], silhouette, int(visible[number]), (height, width), ignored.values()
        )
        if target is not None:
            targets.append(target)
    keep = np.zeros(len(town.placed) + 1, np.int32)
    for target in targets:
        keep[target.target_id] = target.target_id
    targets.sort(key=lambda target: target.target_id)
    return AerialFrame(image, keep[owners], tuple(targets), ignored)


def _lot_box(lot: Rectangle, camera: Camera) -> Box | None:
    """Return the box, within the picture, round a parking lot and the vehicles on it; None where it is out of sight."""
    x0, x1, y0, y1 = lot
    points = np.array([[x, y, z] for x in (x0, x1) for y in (y0, y1) for z in (0.0, 1.6)])
    pixels, _ = camera.project(points)
    limit = np.array(camera.size_hw[::-1])
    low = np.clip(np.floor(pixels.min(axis=0)), 0, limit).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)), 0, limit).astype(int)
    left, top, width, height = *low, *(high - low)
    return (int(left), int(top), int(width), int(height)) if width > 3 and height > 3 else None


def _share_inside(box: Box, regions: Iterable[Box]) -> float:
    """Return the largest share of a box that lies in one of the regions; both left, top, width, height."""
    left, top, width, height = box
    shares = [0.0]
    for x, y, w, h in regions:
        across = min(left + width, x + w) - max(left, x)
        down = min(top + height, y + h) - max(top, y)
        shares.append(max(across, 0) * max(down, 0) / max(width * height, 1))
    return max(shares)


def annotate(
    number: int,
    placed: Placed,
    silhouette: Silhouette,
    visible: int,
    size_hw: tuple[int, int],
    ignored: Iterable[Box],
) -> Target | None:
    """Annotate a vehicle, unless it is mostly out of the picture, hidden, tiny, or in an ignored region.

    Args:
        number: Its target_id.
        placed: The vehicle.
        silhouette: Its outline, as if nothing hid it.
        visible: Number of its pixels that can be seen.
        size_hw: Height and width of the picture.
        ignored: Regions that are not annotated.

    Returns:
        The annotation, or None for a vehicle that gets none.
    """
    whole, inside = silhouette.pixels(), silhouette.pixels_inside(size_hw)
    outside_share = (whole - inside) / max(whole, 1)
    hidden_share = (inside - visible) / max(inside, 1)
    too_small = visible < max(_MIN_PIXELS, 0.1 * inside)
    if too_small or outside_share > 0.5 or _share_inside(silhouette.box(), ignored) >= 0.5:
        return None
    out_of_view = 1 if outside_share <= _NONE else 3 if outside_share <= 0.3 else 2
    occlusion = 1 if hidden_share <= _NONE else 4 if hidden_share <= 0.3 else 3 if hidden_share <= 0.7 else 2
    return Target(number, silhouette.box(), out_of_view, occlusion, placed.shape.category)
