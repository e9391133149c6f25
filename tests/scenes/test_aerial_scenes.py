"""The scenes seen from above: geometry, annotations, and attributes that show."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from flsl_mm.scenes.aerial_camera import Camera, fill
from flsl_mm.scenes.aerial_painting import FrameLook, paint_frame
from flsl_mm.scenes.aerial_scenes import (
    ALTITUDES,
    VIEWS,
    WEATHERS,
    Conditions,
    annotate,
    render_aerial_clip,
)
from flsl_mm.scenes.aerial_silhouette import Silhouette
from flsl_mm.scenes.aerial_solids import make_building, make_bus, make_car, make_truck, truncated_box
from flsl_mm.scenes.aerial_town import Placed, Town, paint_ground, sample_town

SIZE = (135, 256)
DAY = Conditions('daylight', 'medium', 'side')


def clip_of(index, conditions=DAY, frames=2):
    return list(render_aerial_clip(2, index, frames, SIZE, conditions))


def camera_down():
    """100 pixels high and 200 wide, 50 m above (10, 20), looking straight down, 2 pixels a metre."""
    return Camera.look_at(np.array([10.0, 20.0]), 50.0, 0.0, np.pi / 2, 100.0, (100, 200))


def test_projection_by_hand():
    points = np.array([[10.0, 20, 0], [15, 20, 0], [10, 23, 0], [15, 20, 25]])
    pixels, depth = camera_down().project(points)
    np.testing.assert_allclose(pixels, [[100, 50], [110, 50], [100, 44], [120, 50]], atol=1e-9)
    np.testing.assert_allclose(depth, [50, 50, 50, 25])


def test_heading_turns_clockwise_and_pitch_looks_ahead():
    camera = Camera.look_at(np.zeros(2), 20.0, np.pi / 2, np.pi / 4, 100.0, (100, 200))
    np.testing.assert_allclose(camera.position, [-np.sqrt(200), 0, np.sqrt(200)], atol=1e-9)
    pixels, _ = camera.project(np.array([[0.0, 0, 0], [0, -1, 0], [1, 0, 0]]))
    np.testing.assert_allclose(pixels[0], [100, 50])
    # The camera looks along x: smaller y is to the right, larger x is further, so higher up.
    assert pixels[1, 0] > 100
    assert pixels[2, 1] < 50


@pytest.mark.parametrize('pitch', [0.7, 1.1, np.pi / 2])
def test_ground_homography_agrees_with_the_projection(pitch):
    camera = Camera.look_at(np.array([3.0, -4]), 60.0, 0.4, pitch, 250.0, (135, 256))
    ground = np.random.default_rng(0).uniform(-20, 20, (9, 2))
    mapped = np.column_stack([ground, np.ones(9)]) @ camera.ground_homography().T
    expected, _ = camera.project(np.column_stack([ground, np.zeros(9)]))
    np.testing.assert_allclose(mapped[:, :2] / mapped[:, 2:], expected, atol=1e-8)
    corners, _ = camera.project(np.column_stack([camera.ground_extent(), np.zeros(4)]))
    np.testing.assert_allclose(corners, [[0, 0], [256, 0], [256, 135], [0, 135]], atol=1e-6)
    middle = camera.row_distances()[67]
    np.testing.assert_allclose(middle, 60.0, rtol=1e-3)


def test_fill_covers_a_rectangle_exactly():
    canvas = np.zeros((20, 20), np.uint8)
    fill(canvas, np.array([[3, 4], [9, 4], [9, 8], [3, 8]]), 7, smooth=False)
    assert (canvas == 7).sum() == 7 * 5
    assert canvas[4:9, 3:10].min() == 7


def test_solids_face_outwards_and_have_their_size():
    for make, category in ((make_car, 1), (make_truck, 2), (make_bus, 3)):
        for seed in range(10):
            solid = make(np.random.default_rng(seed))
            corners = solid.faces.corners
            length, width, height = solid.size
            assert solid.category == category
            np.testing.assert_allclose(np.ptp(corners[..., 0]), width, atol=1e-6)
            np.testing.assert_allclose(np.ptp(corners[..., 1]), length, atol=1e-6)
            assert height <= corners[..., 2].max() + 1e-6
    box = truncated_box((-1, 1, -2, 2), (-1, 1, -2, 2), (0, 3), np.ones(3), np.ones(3)).corners
    normals = np.cross(box[:, 1] - box[:, 0], box[:, 3] - box[:, 0])
    assert ((normals * (box.mean(axis=1) - (0, 0, 1.5))).sum(axis=1) > 0).all()


def test_same_arguments_give_the_same_frames():
    for first, second in zip(clip_of(0), clip_of(0), strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.instance_map, second.instance_map)
        assert first.targets == second.targets
        assert first.ignored == second.ignored


@pytest.mark.parametrize('view', VIEWS)
def test_boxes_and_codes_agree_with_what_is_seen(view):
    height, width = SIZE
    seen = 0
    for index in range(3):
        for frame in clip_of(index, Conditions('daylight', 'medium', view)):
            numbers = {target.target_id for target in frame.targets}
            assert set(np.unique(frame.instance_map)) == numbers | {0}
            for target in frame.targets:
                seen += 1
                left, top, box_width, box_height = target.box
                rows, columns = np.nonzero(frame.instance_map == target.target_id)
                assert rows.min() >= top
                assert rows.max() < top + box_height
                assert columns.min() >= left
                assert columns.max() < left + box_width
                crosses = left < 0 or top < 0 or left + box_width > width or top + box_height > height
                assert crosses or target.out_of_view == 1
                if target.occlusion == 1 and not crosses:
                    assert np.ptp(rows) + 1 >= 0.8 * box_height
                    assert np.ptp(columns) + 1 >= 0.8 * box_width
    assert seen > 20


def test_targets_keep_number_and_category_and_move_little():
    clip = clip_of(1, frames=6)
    categories = {}
    for before, after in pairwise(clip):
        places = {target.target_id: target for target in before.targets}
        for target in after.targets:
            assert categories.setdefault(target.target_id, target.category) == target.category
            if target.target_id in places:
                moved = np.subtract(target.box[:2], places[target.target_id].box[:2])
                assert np.abs(moved).max() < 12
    assert categories
    assert any(
        target.box != other.box
        for target in clip[0].targets
        for other in clip[-1].targets
        if other.target_id == target.target_id
    )


def vehicle_mask(left, top=20):
    return Silhouette(np.ones((10, 10), bool), left, top)


@pytest.mark.parametrize(
    ('left', 'visible', 'codes'),
    [
        (40, 100, (1, 1)),
        (-1, 90, (3, 1)),
        (-3, 70, (3, 1)),
        (-4, 60, (2, 1)),
        (-5, 50, (2, 1)),
        (-6, 40, None),
        (40, 99, (1, 1)),
        (40, 98, (1, 4)),
        (40, 70, (1, 4)),
        (40, 69, (1, 3)),
        (40, 30, (1, 3)),
        (40, 29, (1, 2)),
        (40, 12, (1, 2)),
        (40, 9, None),
        (-5, 25, (2, 3)),
    ],
)
def test_codes_by_hand(left, visible, codes):
    car = SimpleNamespace(shape=SimpleNamespace(category=1))
    target = annotate(5, car, vehicle_mask(left), visible, (100, 100), [])
    assert (target and (target.out_of_view, target.occlusion)) == codes
    assert target is None or target.box == (left, 20, 10, 10)


def test_vehicles_in_ignored_regions_are_not_annotated():
    car = SimpleNamespace(shape=SimpleNamespace(category=1))
    assert annotate(5, car, vehicle_mask(40), 100, (100, 100), [(0, 0, 44, 100)])
    assert annotate(5, car, vehicle_mask(40), 100, (100, 100), [(0, 0, 45, 100)]) is None


def two_cars():
    """A town with nothing but two cars, one 6 m behind the other, and a camera low behind them."""
    car = make_car(np.random.default_rng(0))
    north = np.array([0.0, 1.0])
    cars = tuple(Placed(car, np.array([0.0, y]), north, 2.0, True) for y in (0.0, 5.2))
    town = Town((-40, 40, -40, 40), 4.0, 1, 200.0, (), cars, np.zeros((0, 2)))
    ground = np.full((80, 80, 3), 120, np.uint8)
    look = FrameLook.sample(np.random.default_rng(0), 'daylight', ground, 1.0)
    camera = Camera.look_at(np.zeros(2), 20.0, 0.0, np.radians(20), 250.0, SIZE)
    return town, look, camera


def test_nearer_vehicles_hide_farther_ones():
    town, look, camera = two_cars()
    _, owners, silhouettes = paint_frame(town, look, camera, 0.0)
    near, far = silhouettes[1], silhouettes[2]
    assert (owners == 1).sum() == near.pixels_inside(SIZE)
    assert (owners == 2).sum() < far.pixels_inside(SIZE)
    _, alone, _ = paint_frame(
        replace(town, placed=(replace(town.placed[0], traffic=False), *town.placed[1:])), look, camera, 0.0
    )
    np.testing.assert_array_equal(alone, owners)


@pytest.mark.parametrize(('hidden', 'low', 'high'), [(False, 200, 255), (True, 0, 130)])
def test_headlights_do_not_shine_through_buildings(hidden, low, high):
    town, _, camera = two_cars()
    rng = np.random.default_rng(0)
    car = replace(town.placed[1], direction=np.array([0.0, -1.0]))
    wall = Placed(make_building(rng, 30.0, 1.0, 8.0), np.array([0.0, 0.5]), np.array([0.0, 1.0]))
    look = FrameLook.sample(rng, 'night', np.full((80, 80, 3), 120, np.uint8), 1.0)
    image, owners, _ = paint_frame(replace(town, placed=(car, wall) if hidden else (car,)), look, camera, 0.0)
    assert (owners == 1).any() != hidden
    assert low <= image.max() <= high


def test_vehicles_drive_where_they_face():
    town, _, _ = two_cars()
    np.testing.assert_allclose(town.placed[0].position(1.5), [0.0, 3.0])


def test_traffic_keeps_its_distance():
    for seed in range(8):
        town = sample_town(np.random.default_rng(seed), (-50, 50, -60, 60), 3.0, 10.0, 0.0)
        main = [p for p in town.placed if p.traffic and p.direction[0] == 0]
        assert main
        for placed in main:
            for other in main:
                if other is placed or abs(other.origin[0] - placed.origin[0]) > 1.8:
                    continue
                room = (placed.shape.size[0] + other.shape.size[0]) / 2
                assert abs(other.origin[1] - placed.origin[1]) > room
                assert other.speed == placed.speed
        inside = [abs(p.origin[0]) + p.shape.size[1] / 2 < town.half_road for p in main]
        assert all(inside)


def test_ground_shows_the_road():
    town = sample_town(np.random.default_rng(1), (-50, 50, -60, 60), 1.0, 10.0, 0.0)
    ground = paint_ground(np.random.default_rng(1), town, 5.0)
    assert ground.shape == (600, 500, 3)
    road = ground[:, 250 + 10 : 250 + 25].astype(int)
    assert np.ptp(road.mean(axis=(0, 1))) < 12


def mean_level(weather):
    return np.mean([clip_of(index, Conditions(weather, 'medium', 'side'), 1)[0].image.mean() for index in range(3)])


def test_night_is_dark_and_fog_is_pale():
    day, night, fog = (mean_level(weather) for weather in WEATHERS)
    assert night < 0.6 * day
    assert fog > 1.2 * day


def test_fog_takes_contrast_away_with_distance():
    conditions = Conditions('fog', 'high', 'front')
    for index in range(3):
        day, fog = clip_of(index, replace(conditions, weather='daylight'), 1)[0], clip_of(index, conditions, 1)[0]
        rows = SIZE[0] // 4
        far, near = (fog.image[part].std() / day.image[part].std() for part in (slice(rows), slice(-rows, None)))
        assert far < near < 1


def test_altitude_sets_the_size_of_the_vehicles():
    medians = []
    for altitude in ALTITUDES:
        frames = [clip_of(index, Conditions('daylight', altitude, 'bird'), 1)[0] for index in range(6)]
        medians.append(np.median([t.box[2] * t.box[3] for frame in frames for t in frame.targets if t.category == 1]))
    assert medians[0] > 2 * medians[1] > 4 * medians[2]


def test_ignored_regions_lie_within_the_picture_and_hold_no_targets():
    regions = 0
    for index in range(8):
        for frame in clip_of(index, Conditions('daylight', 'high', 'front'), 1):
            for left, top, width, height in frame.ignored.values():
                regions += 1
                assert left >= 0
                assert top >= 0
                assert left + width <= SIZE[1]
                assert top + height <= SIZE[0]
                for x, y, w, h in (target.box for target in frame.targets):
                    across = min(x + w, left + width) - max(x, left)
                    down = min(y + h, top + height) - max(y, top)
                    assert max(across, 0) * max(down, 0) < 0.5 * w * h
    assert regions >= 4


@pytest.mark.parametrize(('num_frames', 'long_term'), [(30, 0), (1500, 1)])
def test_flags_by_hand(num_frames, long_term):
    flags = Conditions('night', 'high', 'side').flags(num_frames)
    assert flags == (0, 1, 0, 0, 0, 1, 0, 1, 0, long_term)


@pytest.mark.parametrize('size_hw', [(32, 32), (40, 200), (200, 40)])
def test_odd_sizes(size_hw):
    for view in VIEWS:
        frame = next(render_aerial_clip(0, 1, 1, size_hw, Conditions('night', 'low', view)))
        assert frame.image.shape == (*size_hw, 3)


@pytest.mark.parametrize(
    ('left', 'top', 'inside', 'corner'),
    [(3, 4, 6, (4, 3)), (-1, 4, 4, (4, 0)), (3, -1, 3, (0, 3)), (9, 9, 1, (9, 9)), (20, 4, 0, None), (-9, 4, 0, None)],
)
def test_silhouettes_are_clipped_to_the_picture(left, top, inside, corner):
    """A mask of 2 rows and 3 columns against a picture of 10 by 10 pixels."""
    silhouette = Silhouette(np.ones((2, 3), bool), left, top)
    owners, canvas = np.zeros((10, 10), np.int32), np.full((10, 10, 3), 100, np.uint8)
    silhouette.enter(owners, 5)
    silhouette.roughen(canvas, 'rough', 0.2, start=3)
    assert silhouette.pixels() == 6
    assert silhouette.pixels_inside((10, 10)) == (owners == 5).sum() == inside
    assert silhouette.box() == (left, top, 3, 2)
    assert corner is None or tuple(np.argwhere(owners)[0]) == corner
    assert (canvas[owners == 0] == 100).all()
    assert inside == 0 or (canvas[owners == 5] != 100).any()


def test_texture_moves_with_a_silhouette():
    mask = np.ones((4, 5), bool)
    pictures = [np.full((20, 20, 3), 100, np.uint8) for _ in range(2)]
    Silhouette(mask, 3, 2).roughen(pictures[0], 'rough', 0.3, start=500)
    Silhouette(mask, -2, 9).roughen(pictures[1], 'rough', 0.3, start=500)
    np.testing.assert_array_equal(pictures[0][2:6, 5:8], pictures[1][9:13, 0:3])
