"""Painting a frame seen from above: ground, shadows, solids from far to near, then light, fog and the sensor."""

from dataclasses import dataclass

import cv2
import numpy as np

from .aerial_camera import Camera, fill
from .aerial_silhouette import Silhouette
from .aerial_solids import Solid, Tree
from .aerial_town import Placed, Town
from .textures import TILE, hsv, noise_tile

_LAMP_COLOR = np.array([1.0, 0.76, 0.46], np.float32)
_BEAM_COLOR = np.array([1.0, 0.96, 0.84], np.float32)
_LIGHT_SCALE = 4


@dataclass(frozen=True)
class FrameLook:
    """What the frames of a sequence have in common.

    Args:
        weather: 'daylight', 'night' or 'fog'.
        ground: (h, w, 3) uint8 map of the ground from straight above.
        ground_scale: Its pixels per metre.
        sun: (3,) unit vector towards the sun (at night towards the brighter half of the sky).
        shadow: Share of the light that a shadow takes away, 0 to 1.
        ambient: (3,) light without lamps, 1 by day.
        fog: (3,) colour of the fog in 0..255.
        visibility: Distance, in distances to the picture's middle, at which 37% of the contrast is left.
        gain: (3,) exposure and colour cast.
        noise: Standard deviation of the sensor's noise in grey levels.
        noise_start: First pixel of the noise tile.
    """

    weather: str
    ground: np.ndarray
    ground_scale: float
    sun: np.ndarray
    shadow: float
    ambient: np.ndarray
    fog: np.ndarray
    visibility: float
    gain: np.ndarray
    noise: float
    noise_start: int

    @classmethod
    def sample(cls, rng: np.random.Generator, weather: str, ground: np.ndarray, ground_scale: float) -> 'FrameLook':
        """Draw the look of a sequence in the given weather."""
        azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 0.85)
        flat = np.sqrt(1 - height**2)
        night = hsv(0.63, rng.uniform(0.25, 0.45), rng.uniform(0.17, 0.27))
        return cls(
            weather=weather,
            ground=ground,
            ground_scale=ground_scale,
            sun=np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), height]),
            shadow={'daylight': rng.uniform(0.35, 0.6), 'fog': 0.12, 'night': 0.0}[weather],
            ambient=night if weather == 'night' else np.ones(3, np.float32),
            fog=hsv(0.58, rng.uniform(0.0, 0.06), rng.uniform(0.74, 0.86)) * 255,
            visibility=float(rng.uniform(1.0, 1.7)),
            gain=(1.25 if weather == 'daylight' else 1.0)
            * rng.uniform(0.88, 1.12)
            * rng.uniform(0.97, 1.03, 3).astype(np.float32),
            noise=float(rng.uniform(3.5, 6.5) if weather == 'night' else rng.uniform(1.0, 3.0)),
            noise_start=int(rng.integers(TILE * TILE)),
        )


def paint_frame(
    town: Town, look: FrameLook, camera: Camera, seconds: float
) -> tuple[np.ndarray, np.ndarray, dict[int, Silhouette]]:
    """Paint a frame.

    Args:
        town: What there is to see; item i of `placed` has the number i + 1.
        look: Weather and light.
        camera: Where from.
        seconds: Time.

    Returns:
        The picture (H, W, 3) uint8 RGB; the number of the item seen at each pixel (H, W) int32, with 0 for the ground;
        and the silhouettes of the vehicles in traffic that are in sight, by number.
    """
    height, width = camera.size_hw
    canvas = _ground(town, look, camera)
    owners = np.zeros((height, width), np.int32)
    items = _in_sight(town, camera, seconds)
    if look.shadow:
        _cast_shadows(canvas, items, look, camera)
    silhouettes = {}
    for number, placed, position in items:
        if isinstance(placed.shape, Tree):
            silhouette = _paint_tree(canvas, placed.shape, position, look, camera)
            silhouette.roughen(canvas, 'grain', 0.2, start=37 * number)
        else:
            silhouette = _paint_solid(canvas, placed.shape, placed.direction, position, look, camera)
            silhouette.roughen(canvas, 'rough', 0.06, start=37 * number)
        silhouette.enter(owners, number)
        if placed.traffic:
            silhouettes[number] = silhouette
    levels = canvas.astype(np.float32)
    if look.weather == 'night':
        _light_night(levels, owners, town, items, look, camera)
    if look.weather == 'fog':
        distance = camera.row_distances()
        clear = np.exp(-distance / (look.visibility * distance[height // 2])).astype(np.float32)
        levels = look.fog + (levels - look.fog) * clear[:, None, None]
    return _expose(levels, look, seconds), owners, silhouettes


Item = tuple[int, Placed, np.ndarray]


def _in_sight(town: Town, camera: Camera, seconds: float) -> list[Item]:
    """Return number, item and place of everything that may be in the picture, far items first."""
    places = np.stack([placed.position(seconds) for placed in town.placed])
    ground = np.column_stack([places, np.zeros(len(places))])
    pixels, depth = camera.project(ground)
    height, width = camera.size_hw
    # Nothing reaches further than 22 metres from its place (half a footbridge, the height of a building).
    reach = 22 * camera.focal / np.maximum(depth, 1.0)
    near = (np.abs(pixels[:, 0] - width / 2) < width / 2 + reach) & (
        np.abs(pixels[:, 1] - height / 2) < height / 2 + reach
    )
    order = depth - 0.03 * np.array([_height(placed) for placed in town.placed])
    # What stands nearly below the camera is far outside the picture, and its projection has no bounds.
    numbers = np.flatnonzero(near & (depth > 0.4 * camera.position[2]))
    numbers = numbers[np.argsort(-order[numbers], kind='stable')]
    return [(int(n) + 1, town.placed[n], places[n]) for n in numbers]


def _height(placed: Placed) -> float:
    return 9.0 if isinstance(placed.shape, Tree) else placed.shape.size[2]


def _ground(town: Town, look: FrameLook, camera: Camera) -> np.ndarray:
    """Return the ground as the camera sees it, (H, W, 3) uint8."""
    step = 1 / look.ground_scale
    to_world = np.array([[step, 0, town.extent[0]], [0, -step, town.extent[3]], [0, 0, 1]])
    size = camera.size_hw[::-1]
    matrix = camera.ground_homography() @ to_world
    return cv2.warpPerspective(look.ground, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _to_world(points: np.ndarray, direction: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Turn points (..., 3) of a solid towards its direction and put them at its place."""
    right = np.array([direction[1], -direction[0]])
    flat = points[..., :1] * right + points[..., 1:2] * direction + position
    return np.concatenate([flat, points[..., 2:]], axis=-1)


def _cast_shadows(canvas: np.ndarray, items: list[Item], look: FrameLook, camera: Camera) -> None:
    """Darken the ground under the shadows of all items, in place."""
    mask = np.zeros(canvas.shape[:2], np.uint8)
    for _, placed, position in items:
        if isinstance(placed.shape, Tree):
            centre, spread = placed.shape.centres.mean(axis=0), np.ptp(placed.shape.centres[:, 0]) * 0.7
            angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            ring = np.column_stack([np.cos(angles) * spread, np.sin(angles) * spread, np.zeros(12)])
            points = ring + centre + np.array([*position, 0.0])
        else:
            points = _to_world(placed.shape.faces.corners.reshape(-1, 3), placed.direction, position)
        shift = look.sun[:2] / look.sun[2] * points[:, 2:]
        pixels, _ = camera.project(np.column_stack([points[:, :2] - shift, np.zeros(len(points))]))
        fill(mask, cv2.convexHull(pixels.astype(np.float32))[:, 0], 255)
    keep = 256 - look.shadow * cv2.blur(mask, (3, 3)).astype(np.float32)
    canvas[:] = canvas * (keep / 256)[..., None]


def _paint_solid(
    canvas: np.ndarray, solid: Solid, direction: np.ndarray, position: np.ndarray, look: FrameLook, camera: Camera
) -> Silhouette:
    """Paint the faces of a solid that are turned to the camera, and return its outline."""
    corners = _to_world(solid.faces.corners, direction, position)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    to_camera = camera.position - corners.mean(axis=1)
    seen = np.flatnonzero((normals * to_camera).sum(axis=1) > 0)
    order = seen[np.lexsort((-np.linalg.norm(to_camera[seen], axis=1), solid.faces.layers[seen]))]
    direct = 0.5 if look.weather == 'daylight' else 0.2
    light = (1.02 - direct) + direct * np.maximum(normals @ look.sun, 0) * 1.25
    colors = np.clip(solid.faces.colors * light[:, None] * 255, 0, 255)
    pixels, _ = camera.project(corners)
    mask, low = _mask_round(pixels[order].reshape(-1, 2), canvas.shape)
    for face in order:
        fill(canvas, pixels[face], tuple(colors[face].tolist()))
        fill(mask, pixels[face] - low, 1, smooth=False)
    return Silhouette(mask.astype(bool), *low.tolist())


def _mask_round(points: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return an empty mask that holds pixels (N, 2), and its corner (2,); nothing a picture's size outside counts."""
    size = np.array(shape[1::-1])
    low = np.clip(np.floor(points.min(axis=0)) - 1, -size, 2 * size).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + 2, low + 1, 2 * size + 1).astype(int)
    return np.zeros((high - low)[::-1], np.uint8), low


def _paint_tree(canvas: np.ndarray, tree: Tree, position: np.ndarray, look: FrameLook, camera: Camera) -> Silhouette:
    """Paint a tree's foliage, lighter towards the sun, and return its outline."""
    centres = tree.centres + np.array([*position, 0.0])
    pixels, depth = camera.project(centres)
    radii = tree.radii * camera.focal / depth
    toward = (tree.centres - tree.centres.mean(axis=0)) @ look.sun / tree.radii.mean()
    strength = 0.16 if look.weather == 'daylight' else 0.06
    colors = np.clip(tree.colors * (1 + strength * toward)[:, None] * 255, 0, 255)
    order = np.argsort(-depth, kind='stable')
    mask, low = _mask_round(np.concatenate([pixels - radii[:, None], pixels + radii[:, None]]), canvas.shape)
    for ball in order:
        centre, radius = np.rint(pixels[ball] * 16).astype(int), max(round(radii[ball] * 16), 8)
        cv2.circle(canvas, centre.tolist(), radius, colors[ball].tolist(), cv2.FILLED, cv2.LINE_AA, shift=4)
        cv2.circle(mask, (centre - 16 * low).tolist(), radius, 1, cv2.FILLED, cv2.LINE_8, shift=4)
    return Silhouette(mask.astype(bool), *low.tolist())


def _light_night(
    levels: np.ndarray, owners: np.ndarray, town: Town, items: list[Item], look: FrameLook, camera: Camera
) -> None:
    """Light a dark frame (H, W, 3) float32 by street lamps, headlights and tail lights, in place."""
    height, width = camera.size_hw
    small = (height // _LIGHT_SCALE + 1, width // _LIGHT_SCALE + 1)
    lamps, beams = np.zeros(small, np.uint8), np.zeros(small, np.uint8)
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    circle = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(16)]) * 8
    for lamp in town.lamps:
        pixels, depth = camera.project(circle + np.array([*lamp, 0.0]))
        if depth.min() > 2:
            fill(lamps, pixels / _LIGHT_SCALE, 255)
    cars = [item for item in items if item[1].traffic]
    for _, placed, position in cars:
        length, wide, _ = placed.shape.size
        beam = np.array([[-wide / 2, length / 2, 0], [wide / 2, length / 2, 0], [2.2, length / 2 + 9, 0]])
        beam = np.concatenate([beam, beam[2:] * (-1, 1, 1)])
        fill(beams, camera.project(_to_world(beam, placed.direction, position))[0] / _LIGHT_SCALE, 255)
    metre = camera.focal / np.linalg.norm(camera.position) / _LIGHT_SCALE
    pools = _soften(lamps, 3.5 * metre, (width, height)) * 0.75
    cones = _soften(beams, 1.2 * metre, (width, height)) * 0.5
    levels *= look.ambient + pools[..., None] * _LAMP_COLOR + cones[..., None] * _BEAM_COLOR
    _glow(levels, owners, cars, camera)


def _soften(mask: np.ndarray, sigma: float, size: tuple[int, int]) -> np.ndarray:
    """Blur a small uint8 mask and enlarge it to (width, height); float32 in 0..1."""
    soft = cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.6)).astype(np.float32) / 255
    return cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)


def _glow(levels: np.ndarray, owners: np.ndarray, cars: list[Item], camera: Camera) -> None:
    """Add the lamps of the vehicles that are turned to the camera and not hidden, with a halo, in place."""
    lights = np.zeros(levels.shape, np.uint8)
    for number, placed, position in cars:
        length, wide, _ = placed.shape.size
        for end, color in ((1, (255, 246, 215)), (-1, (220, 28, 18))):
            local = np.array([[side * 0.36 * wide, end * length / 2, 0.7] for side in (-1, 1)])
            points = _to_world(local, placed.direction, position)
            to_camera = camera.position - points.mean(axis=0)
            if end * (placed.direction @ to_camera[:2]) < -0.25 * np.linalg.norm(to_camera):
                continue
            pixels, depth = camera.project(points)
            radius = max(0.17 * camera.focal / float(depth.mean()), 0.7)
            for x, y in np.rint(pixels).astype(int).tolist():
                if number in owners[max(y - 2, 0) : max(y + 3, 0), max(x - 2, 0) : max(x + 3, 0)]:
                    cv2.circle(lights, (16 * x, 16 * y), round(radius * 16), color, cv2.FILLED, cv2.LINE_AA, shift=4)
    halo = cv2.GaussianBlur(lights, (0, 0), max(levels.shape[1] / 180, 1.0))
    levels += lights
    levels += halo * np.float32(1.5)


def _expose(levels: np.ndarray, look: FrameLook, seconds: float) -> np.ndarray:
    """Apply exposure, colour cast and sensor noise; (H, W, 3) uint8."""
    height, width = levels.shape[:2]
    start = (look.noise_start + int(seconds * 7919 * 60)) % (TILE * TILE)
    grain = np.resize(np.roll(noise_tile('white'), -start), (height, width))
    levels = levels * look.gain + (look.noise * grain + 0.5)[..., None]
    return np.clip(levels, 0, 255).astype(np.uint8)
