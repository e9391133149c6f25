"""The procedural scenes: determinism, exact masks, motion, and what the classes paint."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flsl_mm.scenes.backgrounds import BACKGROUND_KINDS
from flsl_mm.scenes.objects import OBJECT_CLASSES
from flsl_mm.scenes.painter import CLASSES, instance_boxes, paint_scene, render_clip, render_scene
from flsl_mm.scenes.specs import sample_scene, scene_generator
from flsl_mm.scenes.textures import TILE, Grid, hsv, noise_tile, ramp

SIZE = (96, 128)


def spec_of(index, roles=(), size_hw=SIZE):
    return sample_scene(scene_generator(0, 3, 'train', index), size_hw, roles)


def test_same_arguments_give_the_same_scene():
    first, second = render_scene(4, 7, SIZE), render_scene(4, 7, SIZE)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.instance_map, second.instance_map)
    np.testing.assert_array_equal(first.labels, second.labels)


@pytest.mark.parametrize('other', [dict(seed=5), dict(index=8), dict(split='val')])
def test_seed_index_and_split_each_change_the_scene(other):
    arguments = dict(seed=4, index=7, size_hw=SIZE, split='train')
    assert not np.array_equal(render_scene(**arguments).image, render_scene(**(arguments | other)).image)


def test_random_streams_of_splits_and_kinds_are_disjoint():
    streams = [
        scene_generator(kind, seed, split, index).bit_generator.state['state']['state']
        for kind in range(3)
        for seed in range(4)
        for split in ('train', 'val')
        for index in range(10)
    ]
    assert len(set(streams)) == len(streams) == 240


@settings(max_examples=20, deadline=None)
@given(height=st.integers(32, 150), width=st.integers(32, 150), index=st.integers(0, 10**6))
def test_any_size_gives_consistent_arrays(height, width, index):
    scene = render_scene(0, index, (height, width))
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert scene.instance_map.shape == (height, width)
    assert scene.instance_map.dtype == np.int32
    assert 3 <= len(scene.labels) <= 7
    assert scene.instance_map.min() >= 0
    assert scene.instance_map.max() <= len(scene.labels)
    assert scene.labels.min() >= 0
    assert scene.labels.max() < len(CLASSES)
    assert scene.image.std() > 3


@pytest.mark.parametrize('index', range(6))
def test_taking_an_object_away_changes_only_its_mask_and_its_shadow(index):
    spec = spec_of(index)
    scene = paint_scene(spec, 0.0)
    empty = paint_scene(replace(spec, objects=()), 0.0)
    for i, item in enumerate(spec.objects):
        without = paint_scene(replace(spec, objects=spec.objects[:i] + spec.objects[i + 1 :]), 0.0)
        alone = paint_scene(replace(spec, objects=(item,)), 0.0)
        reach = (alone.image != empty.image).any(axis=2) | (alone.instance_map == 1)
        # On dark ground the last of a shadow may be less than a grey level.
        reach = cv2.dilate(reach.astype(np.uint8), np.ones((9, 9))) > 0
        assert not (scene.image != without.image).any(axis=2)[~reach].any()
        assert reach.mean() < 0.5
        # Others keep their pixels: the rest of the map is the same but for the numbers, which close up.
        mine = scene.instance_map == i + 1
        numbers = np.arange(len(spec.objects) + 1)
        numbers[i + 1 :] -= 1
        np.testing.assert_array_equal(numbers[scene.instance_map][~mine], without.instance_map[~mine])
        assert (without.instance_map[mine] <= i).all()


@pytest.mark.parametrize('index', range(4))
def test_instance_map_is_the_painters_order_of_the_objects_alone(index):
    spec = spec_of(index)
    expected = np.zeros(SIZE, np.int32)
    for number, item in enumerate(spec.objects, start=1):
        alone = paint_scene(replace(spec, objects=(item,)), 0.0)
        expected[alone.instance_map == 1] = number
    np.testing.assert_array_equal(paint_scene(spec, 0.0).instance_map, expected)


def test_the_mask_of_a_ball_is_a_disc():
    for index in range(5):
        item = spec_of(index).objects[0]
        motion = replace(item.motion, start=np.zeros(2))
        look = OBJECT_CLASSES[0].sample(np.random.default_rng(index))
        ball = replace(item, label=0, look=look, radius=0.3, squash=(1.0, 1.0), motion=motion)
        mask = paint_scene(replace(spec_of(index), objects=(ball,)), 0.0).instance_map == 1
        y, x = np.mgrid[: SIZE[0], : SIZE[1]]
        disc = np.hypot(x - SIZE[1] / 2, y - SIZE[0] / 2) < 0.3 * SIZE[0]
        # The outline is 180 pixels long; a threshold of half a pixel's coverage misplaces hardly any.
        assert (mask != disc).sum() <= 6


def test_image_shows_the_object_where_its_mask_is():
    changed = []
    for index in range(8):
        spec = spec_of(index)
        scene, without = paint_scene(spec, 0.0), paint_scene(replace(spec, objects=spec.objects[:-1]), 0.0)
        last = scene.instance_map == len(spec.objects)
        if last.sum() > 50:
            changed.append((scene.image != without.image).any(axis=2)[last].mean())
    assert min(changed) > 0.9


def test_shadows_darken():
    spec = replace(spec_of(0), noise=0.0)
    empty = paint_scene(replace(spec, objects=()), 0.0).image.astype(int)
    alone = paint_scene(replace(spec, objects=spec.objects[:1]), 0.0)
    shadow = (alone.image != empty).any(axis=2) & (alone.instance_map == 0)
    assert shadow.sum() > 30
    # The outermost pixels of the outline are mixed with the object; the rest can only be darker.
    assert ((alone.image.astype(int) - empty)[shadow].max(axis=1) <= 0).mean() > 0.8


def test_boxes_are_the_extents_of_the_masks():
    instance_map = np.zeros((10, 12), np.int32)
    instance_map[2:5, 3:9] = 1
    instance_map[4, 3] = 3
    np.testing.assert_array_equal(instance_boxes(instance_map, 3), [[3, 2, 6, 3], [0, 0, 0, 0], [3, 4, 1, 1]])


def test_objects_return_and_enter_as_asked():
    for index in range(12):
        clip = list(render_clip(1, index, 9, SIZE, roles=('returns', 'enters')))
        returns, enters = ([(scene.instance_map == number).any() for scene in clip] for number in (2, 3))
        assert not returns[4]
        assert not enters[0]
        assert len({tuple(scene.labels) for scene in clip}) == 1
        spec = sample_scene(scene_generator(1, 1, 'train', index), SIZE, ('returns', 'enters'))
        for number, times in ((1, (0.0, 1.0)), (2, (1.0,))):
            for time in times:
                alone = paint_scene(replace(spec, objects=(spec.objects[number],)), time)
                assert spec.objects[number].motion.absence(time) == 0
                assert alone.instance_map.any() or np.abs(spec.objects[number].motion.drift).max() > 0.08


def test_motion_is_smooth():
    spec = spec_of(2, roles=('returns', 'enters'))
    for item in spec.objects:
        path = np.stack([item.motion.centre(t) for t in np.linspace(0, 1, 101)])
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 0.12
        assert np.ptp(path, axis=0).max() > 0


def test_motion_by_hand():
    motion = replace(
        spec_of(0, roles=('returns',)).objects[1].motion,
        start=np.array([0.1, 0.2]),
        drift=np.array([0.4, 0.0]),
        sway=np.array([0.0, 0.1]),
        phase=0.0,
        away=np.array([2.0, 0.0]),
    )
    np.testing.assert_allclose(motion.centre(0.0), [0.1, 0.2])
    np.testing.assert_allclose(motion.centre(0.5), [0.1 + 0.2 + 2.0, 0.2], atol=1e-12)
    # Half way out between 0.15 and 0.42; the sway has reached sin(2 pi 0.285).
    np.testing.assert_allclose(motion.centre(0.285), [0.1 + 0.114 + 1.0, 0.2 + 0.1 * np.sin(2 * np.pi * 0.285)])


@pytest.mark.parametrize('kind', OBJECT_CLASSES, ids=lambda kind: kind.name)
def test_painters_stay_within_the_unit_disc_and_vary(kind):
    grid = Grid.make((61, 61), np.array([[1 / 28, 0, -30 / 28], [0, 1 / 28, -30 / 28]]))
    outside = np.hypot(grid.u, grid.v) > 1.02
    areas, colors = [], []
    for seed in range(40):
        field, painted = kind.paint(grid, kind.sample(np.random.default_rng(seed)))
        assert field.dtype == painted.dtype == np.float32
        assert (field[outside] > 0).all()
        areas.append((field < 0).mean())
        colors.append(painted[field < 0].mean(axis=0))
    assert min(areas) > 0.05
    assert np.std(colors, axis=0).max() > 0.05


@pytest.mark.parametrize('kind', BACKGROUND_KINDS, ids=lambda kind: kind.name)
def test_backgrounds_are_textured(kind):
    grid = Grid.make((64, 64), np.array([[1 / 64, 0, -0.5], [0, 1 / 64, -0.5]]))
    for seed in range(5):
        colors = kind.paint(grid, kind.sample(np.random.default_rng(seed)))
        assert colors.shape == (64, 64, 3)
        assert colors.dtype == np.float32
        assert colors.std(axis=(0, 1)).max() > 0.01


@pytest.mark.parametrize('name', ['white', 'clouds', 'fibres', 'cells'])
def test_noise_tiles_are_standardised_and_wrap(name):
    tile = noise_tile(name)
    assert tile.shape == (TILE, TILE)
    assert abs(tile.mean()) < 0.05
    assert 0.9 < tile.std() < 1.05
    # The step over the seam is like the steps inside.
    seam, inside = np.abs(tile[0] - tile[-1]).mean(), np.abs(np.diff(tile, axis=0)).mean()
    assert seam < 1.5 * inside


def test_textures_follow_their_grid():
    still = Grid.make((40, 40), np.array([[0.02, 0, 0], [0, 0.02, 0.0]]))
    moved = Grid.make((40, 40), np.array([[0.02, 0, -0.1], [0, 0.02, -0.06]]))
    before, after = (grid.texture('rough', 50, (10.0, 20.0)) for grid in (still, moved))
    # 50 tile pixels a unit: a tile pixel a pixel; the grid moved by 5 and 3 pixels.
    np.testing.assert_allclose(after[3:, 5:], before[:-3, :-5], atol=1e-3)


def test_ramp_and_hsv_by_hand():
    np.testing.assert_allclose(hsv(1 / 3, 1.0, 0.5), [0, 0.5, 0], atol=1e-6)
    colors = ramp((hsv(0, 0, 0), hsv(0, 0, 1.0)), np.array([[-1.0, 0.2, 7.0]]))
    np.testing.assert_allclose(colors[0, :, 0], [0, 0.2, 1], atol=0.003)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(seed=-1), 'seed must be 0 or more'),
        (dict(index=-1), 'index of a scene must be 0 or more'),
        (dict(split='test'), "unknown split 'test'"),
        (dict(size_hw=(31, 64)), 'at least 32 pixels a side, got 31x64'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_scene(**(dict(seed=0, index=0, size_hw=SIZE) | arguments))
