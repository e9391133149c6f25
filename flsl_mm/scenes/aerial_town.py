"""The town under the scenes seen from above: roads, parking lots, buildings, trees, traffic, and the painted ground.

The main road runs along y through x = 0, with traffic on the right. Everything lies parallel to the two axes.
"""

from dataclasses import dataclass

import numpy as np

from .aerial_solids import Solid, Tree, make_building, make_car, make_footbridge, make_tree, make_vehicle
from .textures import Grid, hsv, pick, ramp, random_offset

LANE = 3.5
_SIDEWALK = 3.0

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Placed:
    """A solid or a tree on the ground.

    Args:
        shape: What stands there.
        origin: (2,) place at time 0 in metres.
        direction: (2,) unit vector it faces.
        speed: Along `direction` in m/s.
        traffic: Whether it takes part in traffic; parked vehicles and everything else do not.
    """

    shape: Solid | Tree
    origin: np.ndarray
    direction: np.ndarray
    speed: float = 0.0
    traffic: bool = False

    def position(self, seconds: float) -> np.ndarray:
        """Return the place (2,) at a time."""
        return self.origin + self.direction * (self.speed * seconds)


@dataclass(frozen=True)
class Town:
    """The plan of a town.

    Args:
        extent: X0, x1, y0, y1 of the ground that is ever in sight, in metres.
        half_road: Half the width of the main road.
        lanes: Lanes of the main road in each direction.
        crossing: Y of a crossing road's middle (outside the extent where there is none).
        lots: Parking lots, x0, x1, y0, y1 each.
        placed: Buildings, trees, bridges and every vehicle.
        lamps: (N, 2) street lamps.
    """

    extent: Rectangle
    half_road: float
    lanes: int
    crossing: float
    lots: tuple[Rectangle, ...]
    placed: tuple[Placed, ...]
    lamps: np.ndarray


def sample_town(rng: np.random.Generator, extent: Rectangle, seconds: float, tallest: float, open_side: float) -> Town:
    """Draw a town.

    Args:
        rng: Generator.
        extent: X0, x1, y0, y1 in metres.
        seconds: Duration for which traffic must last.
        tallest: Height of the tallest building in metres.
        open_side: Sign of the x on which no buildings stand (the camera looks across it); 0 for none.
    """
    lanes = pick(rng, (1, 2, 2, 3))
    half_road = lanes * LANE + 0.6
    middle = (extent[2] + extent[3]) / 2
    crossing = middle + rng.uniform(-0.3, 0.3) * (extent[3] - extent[2]) if rng.uniform() < 0.55 else extent[3] + 100
    lots, parked = _sample_lots(rng, extent, half_road, crossing)
    traffic = _sample_traffic(rng, extent, lanes, crossing, seconds)
    scenery = _sample_scenery(rng, extent, half_road, crossing, lots, tallest, open_side)
    along = np.arange(extent[2] + rng.uniform(0, 20), extent[3], rng.uniform(22, 32))
    lamps = np.concatenate([np.column_stack([np.full_like(along, s * (half_road + 1)), along]) for s in (-1, 1)])
    return Town(extent, half_road, lanes, crossing, lots, (*traffic, *parked, *scenery), lamps)


def _heading(x: float, y: float) -> np.ndarray:
    return np.array([x, y], np.float64)


def _sample_traffic(
    rng: np.random.Generator, extent: Rectangle, lanes: int, crossing: float, seconds: float
) -> list[Placed]:
    """Fill the lanes of the main road with moving or queueing vehicles, and the crossing road with waiting ones."""
    traffic = []
    for sign in (-1.0, 1.0):
        queueing = rng.uniform() < 0.2
        gap = rng.uniform(1, 3) if queueing else rng.uniform(3, 14)
        for lane in range(lanes):
            speed = 0.0 if queueing else rng.uniform(6, 14)
            run = speed * seconds
            place = extent[2] - 12 - (run if sign > 0 else 0)
            while place < extent[3] + 12 + (run if sign < 0 else 0):
                solid = make_vehicle(rng)
                place += solid.size[0] / 2 + 2 + rng.exponential(gap)
                if not (queueing and abs(place - crossing) < 2 * LANE + solid.size[0] / 2 + 3):
                    x = sign * (0.35 + LANE * (lane + 0.5)) + rng.normal(0, 0.12)
                    traffic.append(Placed(solid, np.array([x, place]), _heading(0, sign), speed, True))
                place += solid.size[0] / 2
    if crossing < extent[3]:
        for sign in (-1.0, 1.0):
            place = lanes * LANE + 5
            while place < max(abs(extent[0]), abs(extent[1])) + 12:
                solid = make_vehicle(rng)
                place += solid.size[0] / 2
                spot = np.array([-sign * place, crossing - sign * (0.2 + LANE / 2)])
                traffic.append(Placed(solid, spot, _heading(sign, 0), 0.0, True))
                place += solid.size[0] / 2 + 1.5 + rng.exponential(4 if rng.uniform() < 0.7 else 40)
    return traffic


def _sample_lots(
    rng: np.random.Generator, extent: Rectangle, half_road: float, crossing: float
) -> tuple[tuple[Rectangle, ...], list[Placed]]:
    """Lay out dense parking lots beside the road, mostly full."""
    lots, parked = [], []
    for sign in (-1.0, 1.0):
        if rng.uniform() < 0.5:
            continue
        rows, slots = int(rng.integers(2, 4)), int(rng.integers(8, 16))
        near = half_road + _SIDEWALK + rng.uniform(2, 5)
        start = rng.uniform(0.75 * extent[2] + 0.25 * extent[3], 0.4 * extent[2] + 0.6 * extent[3])
        if start < crossing + 12 and start + slots * 2.7 > crossing - 12:
            continue
        sides = sorted((sign * near, sign * (near + rows * 8.0)))
        lots.append((sides[0], sides[1], start, start + slots * 2.7))
        for row in range(rows):
            for slot in range(slots):
                if rng.uniform() < 0.9:
                    x = sign * (near + 3.0 + row * 8.0) + rng.normal(0, 0.2)
                    place = np.array([x, start + (slot + 0.5) * 2.7])
                    parked.append(Placed(make_car(rng), place, _heading(pick(rng, (-1, 1)), 0)))
    return tuple(lots), parked


def _sample_scenery(
    rng: np.random.Generator,
    extent: Rectangle,
    half_road: float,
    crossing: float,
    lots: tuple[Rectangle, ...],
    tallest: float,
    open_side: float,
) -> list[Placed]:
    """Set buildings in rows behind the pavements, trees along them and between, and at times a footbridge."""

    def free(x: float, y: float, radius: float) -> bool:
        clear = all(not (a - radius < x < b + radius and c - radius < y < d + radius) for a, b, c, d in lots)
        return clear and abs(y - crossing) > radius + 2 * LANE + 1 and abs(x) > radius + half_road

    scenery = []
    edge = half_road + _SIDEWALK
    for sign in (-1.0, 1.0):
        for row in range(2):
            y = extent[2] + rng.uniform(0, 15)
            while y < extent[3]:
                width, depth = rng.uniform(9, 20), rng.uniform(10, 24)
                x = sign * (edge + rng.uniform(4, 9) + width / 2 + row * 32)
                radius = max(width, depth) / 2
                y += depth / 2
                if free(x, y, radius) and sign != open_side and rng.uniform() < 0.75 and tallest > 4:
                    solid = make_building(rng, width, depth, rng.uniform(0.4, 1.0) * tallest)
                    scenery.append(Placed(solid, np.array([x, y]), _heading(0, 1)))
                else:
                    x += rng.uniform(-6, 6)
                    if free(x, y, 3):
                        scenery.append(Placed(make_tree(rng), np.array([x, y]), _heading(0, 1)))
                y += depth / 2 + rng.uniform(3, 14)
        for y in np.arange(extent[2], extent[3], rng.uniform(9, 16)):
            x = sign * (edge + rng.uniform(-1.2, 2.0))
            if rng.uniform() < 0.6 and free(x, y, 1.0):
                scenery.append(Placed(make_tree(rng), np.array([x, y + rng.normal()]), _heading(0, 1)))
    if rng.uniform() < 0.3 and tallest > 7:
        y = rng.uniform(0.6 * extent[2] + 0.4 * extent[3], 0.4 * extent[2] + 0.6 * extent[3])
        if abs(y - crossing) > 12:
            scenery.append(Placed(make_footbridge(rng, 2 * edge + 2), np.array([0.0, y]), _heading(0, 1)))
    return scenery


class _GroundPlan:
    """Colours of the ground, painted in metres; row 0 is the extent's largest y."""

    def __init__(self, extent: Rectangle, pixels_per_metre: float) -> None:
        self.extent, self.scale = extent, pixels_per_metre
        self.size_hw = tuple(int(np.ceil(b * pixels_per_metre)) for b in (extent[3] - extent[2], extent[1] - extent[0]))
        self.colors = np.empty((*self.size_hw, 3), np.float32)

    def rectangle(self, x0: float, x1: float, y0: float, y1: float, color: np.ndarray) -> None:
        """Paint a rectangle; anything narrower than a pixel becomes one pixel wide."""
        left, right = ((x - self.extent[0]) * self.scale for x in (x0, x1))
        top, bottom = ((self.extent[3] - y) * self.scale for y in (y1, y0))
        rows = slice(max(round(top), 0), max(round(bottom), round(top) + 1, 0))
        columns = slice(max(round(left), 0), max(round(right), round(left) + 1, 0))
        self.colors[rows, columns] = color

    def grid(self) -> Grid:
        """Return the grid of the plan's pixels in metres from its corner."""
        return Grid.make(self.size_hw, np.array([[1 / self.scale, 0, 0], [0, 1 / self.scale, 0.0]]))


def paint_ground(rng: np.random.Generator, town: Town, pixels_per_metre: float) -> np.ndarray:
    """Paint the ground of a town from straight above.

    Args:
        rng: Generator for colours and textures.
        town: The plan.
        pixels_per_metre: Resolution.

    Returns:
        (H, W, 3) uint8; pixel (0, 0) is at the extent's smallest x and largest y.
    """
    plan = _GroundPlan(town.extent, pixels_per_metre)
    grid, offset = plan.grid(), random_offset(rng)
    hue, saturation = pick(rng, ((0.27, 0.45), (0.22, 0.4), (0.11, 0.3), (0.09, 0.08)))
    shades = tuple(hsv(hue - 0.02 * k, saturation, value) for k, value in enumerate((0.2, 0.36, 0.52)))
    tone = 0.5 + 0.2 * grid.texture('clouds', 6, offset) + 0.12 * grid.texture('rough', 11, offset)
    plan.colors[:] = ramp(shades, tone)
    x0, x1, y0, y1 = town.extent
    asphalt = hsv(rng.uniform(0.05, 0.65), rng.uniform(0.0, 0.08), rng.uniform(0.3, 0.46))
    paving = hsv(rng.uniform(0.04, 0.12), rng.uniform(0.05, 0.2), rng.uniform(0.5, 0.68))
    edge = town.half_road + _SIDEWALK
    half_crossing = 2 * LANE
    plan.rectangle(-edge, edge, y0, y1, paving)
    plan.rectangle(x0, x1, town.crossing - half_crossing - 2, town.crossing + half_crossing + 2, paving)
    for lot in town.lots:
        plan.rectangle(lot[0] - 1, lot[1] + 1, lot[2] - 1, lot[3] + 1, asphalt * 1.12)
        for y in np.arange(lot[2], lot[3] + 0.1, 2.7):
            plan.rectangle(lot[0], lot[1], y - 0.07, y + 0.07, np.full(3, 0.75))
    plan.rectangle(x0, x1, town.crossing - half_crossing, town.crossing + half_crossing, asphalt)
    plan.rectangle(-town.half_road, town.half_road, y0, y1, asphalt)
    _paint_markings(plan, town, asphalt)
    wear = 1 + 0.06 * grid.texture('rough', 14, offset) + 0.05 * grid.texture('grain', 11, offset)
    wear += 0.025 * grid.texture('fibres', 13, offset, turn=True)
    plan.colors *= wear[..., None]
    return np.clip(plan.colors * 255, 0, 255).astype(np.uint8)


def _paint_markings(plan: _GroundPlan, town: Town, asphalt: np.ndarray) -> None:
    """Paint lane lines, the double line in the middle, edge lines and zebra crossings."""
    _, _, y0, y1 = town.extent
    white, yellow = np.full(3, 0.82, np.float32), hsv(0.12, 0.6, 0.8)
    junction = 2 * LANE
    for sign in (-1, 1):
        plan.rectangle(sign * 0.22 - 0.07, sign * 0.22 + 0.07, y0, y1, yellow)
        side = sign * (town.half_road - 0.25)
        plan.rectangle(side - 0.08, side + 0.08, y0, y1, white)
        for lane in range(1, town.lanes):
            x = sign * (0.35 + lane * LANE)
            for y in np.arange(y0, y1, 9.0):
                plan.rectangle(x - 0.08, x + 0.08, y, y + 3.5, white)
    if town.crossing > y1:
        return
    plan.rectangle(-town.half_road, town.half_road, town.crossing - junction, town.crossing + junction, asphalt)
    for sign in (-1, 1):
        plan.rectangle(*sorted((sign * town.half_road, sign * 999)), town.crossing - 0.1, town.crossing + 0.1, yellow)
        y = town.crossing + sign * (junction + 2.0)
        for x in np.arange(-town.half_road + 0.4, town.half_road - 0.4, 1.1):
            plan.rectangle(x, x + 0.55, y - 1.5, y + 1.5, white)
