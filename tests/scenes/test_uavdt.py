"""Clips in UAVDT's layout: annotations and attributes agree with what is seen, and the converter takes the tree."""

from dataclasses import replace

import numpy as np
import pytest

from flsl_mm.scenes.output import TreeRequest
from flsl_mm.scenes.painter import CLASSES, Outline, paint_scene
from flsl_mm.scenes.specs import sample_scene, scene_generator
from flsl_mm.scenes.uavdt import (
    ALTITUDES,
    CATEGORIES,
    VIEWS,
    WEATHERS,
    Conditions,
    add_haze,
    annotate,
    apply_conditions,
    sample_regions,
    write_uavdt,
)
from flsl_mm.uavdt.annotations import ATTRIBUTES
from flsl_mm.uavdt.convert import read_sequences
from flsl_mm.uavdt.layout import find_sequences
from tests.builders.scene_trees import assert_jpeg_of, files_of, pixels

SIZE = (64, 112)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp('uavdt')
    written = write_uavdt(root, TreeRequest(num=48, frames=2, val_fraction=0.25, seed=3, size_hw=SIZE))
    return root, written, list(read_sequences(root, find_sequences(root), 1, 0))


def test_the_converter_takes_the_tree(tree):
    _, written, sequences = tree
    assert [frames.sequence.name for frames in sequences] == [f'S{number:04d}' for number in range(1, 49)]
    assert [frames.sequence.split for frames in sequences] == ['train'] * 36 + ['test'] * 12
    assert all(frames.numbers.tolist() == [1, 2] for frames in sequences)
    assert all((frames.sizes == SIZE[::-1]).all() for frames in sequences)
    assert all(frames.outside == (0, 0) for frames in sequences)
    for line, part in zip(written.lines, (sequences[:36], sequences[36:]), strict=True):
        boxes, regions = (sum(len(getattr(frames, kind)) for frames in part) for kind in ('boxes', 'regions'))
        count = f'{part[0].sequence.split}: {len(part)} sequences, {2 * len(part)} frames'
        assert line == f'{count}, {boxes} boxes, {regions} ignore regions'


def test_every_attribute_class_and_code_occurs_in_both_splits(tree):
    for part in (tree[2][:36], tree[2][36:]):
        for name in ATTRIBUTES[:-1]:
            with_it = sum(frames.sequence.attributes[name] for frames in part)
            assert with_it == len(part) / 3
        boxes = np.concatenate([frames.boxes for frames in part])
        out_of_view, occlusion, category = (set(boxes[:, column]) for column in (6, 7, 8))
        assert (out_of_view, occlusion, category) == ({1, 2, 3}, {1, 2, 3, 4}, {1, 2, 3})
        assert sum(len(frames.regions) > 0 for frames in part) == len(part) / 2


def scene_of(number, frame, num_frames=2, stream='train'):
    """Paint a frame as `write_uavdt` does with seed 3."""
    rng = scene_generator(2, 3, stream, number)
    spec = apply_conditions(sample_scene(rng, SIZE, ('stays',) * 13), Conditions.of_sequence(number))
    return paint_scene(spec, frame / (num_frames - 1))


def test_images_and_boxes_are_those_of_the_objects(tree):
    root, _, sequences = tree
    seen = 0
    for number in range(12):
        frames = sequences[number]
        for frame in range(2):
            scene = scene_of(number, frame)
            image = add_haze(scene.image) if Conditions.of_sequence(number).weather == 'fog' else scene.image
            assert_jpeg_of(root / frames.files[frame], image)
            for row in frames.boxes[frames.boxes[:, 0] == frame + 1].astype(int):
                _, target, left, top, width, height, _, occlusion, category = row
                seen += 1
                assert CATEGORIES[CLASSES[scene.labels[target - 1]]] == category
                rows, columns = np.nonzero(scene.instance_map == target)
                assert rows.min() >= top
                assert rows.max() < top + height
                assert columns.min() >= left
                assert columns.max() < left + width
                if occlusion == 1:
                    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == pytest.approx((width, height), abs=1)
    assert seen > 100


def test_nothing_annotated_lies_in_a_region_and_something_else_does(tree):
    hidden = 0
    for number, frames in enumerate(tree[2][:36]):
        for frame, _, left, top, width, height in frames.regions.astype(int):
            of_frame = frames.boxes[frames.boxes[:, 0] == frame]
            across = np.minimum(of_frame[:, 2] + of_frame[:, 4], left + width) - np.maximum(of_frame[:, 2], left)
            down = np.minimum(of_frame[:, 3] + of_frame[:, 5], top + height) - np.maximum(of_frame[:, 3], top)
            assert (across.clip(0) * down.clip(0) < 0.6 * of_frame[:, 4] * of_frame[:, 5]).all()
            inside = scene_of(number, frame - 1).instance_map[top : top + height, left : left + width]
            hidden += len(set(np.unique(inside)) - {0} - set(of_frame[:, 1].astype(int)))
    assert hidden > 20


def test_objects_keep_number_and_category_and_move(tree):
    moved = []
    for frames in tree[2]:
        first, second = (frames.boxes[frames.boxes[:, 0] == number] for number in (1, 2))
        _, of_first, of_second = np.intersect1d(first[:, 1], second[:, 1], return_indices=True)
        assert (first[of_first, 8] == second[of_second, 8]).all()
        moved += (first[of_first, 2:4] != second[of_second, 2:4]).any(axis=1).tolist()
    assert len(moved) > 100
    assert np.mean(moved) > 0.8


def test_frames_in_a_folder_of_their_own(tmp_path):
    request = TreeRequest(num=2, frames=1, seed=3, size_hw=(48, 64))
    for name, image_folder in (('plain', False), ('img1', True)):
        write_uavdt(tmp_path / name, replace(request, image_folder=image_folder))
    plain = files_of(tmp_path / 'plain')
    moved = {name.replace('/img0', '/img1/img0'): content for name, content in plain.items()}
    assert files_of(tmp_path / 'img1') == moved
    assert 'UAV-benchmark-M/S0002/img1/img000001.jpg' in moved


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
        (40, 11, None),
        (-5, 25, (2, 3)),
    ],
)
def test_codes_by_hand(left, visible, codes):
    # A square of 10 pixels per side, with a margin of 3 in its outline.
    outline = Outline(left - 3, 17, np.pad(np.ones((10, 10), bool), 3))
    assert annotate(outline, visible, (100, 100), []) == (codes and (left, 20, 10, 10, *codes))


def test_what_is_not_annotated():
    large = Outline(0, 0, np.ones((40, 40), bool))  # of which nine tenths are hidden
    assert annotate(large, 161, (100, 100), [])[-1] == 2
    assert annotate(large, 159, (100, 100), []) is None
    outline = Outline(37, 20, np.pad(np.ones((10, 10), bool), 3))  # in regions
    assert annotate(outline, 100, (100, 100), [(0, 0, 44, 100)])
    assert annotate(outline, 100, (100, 100), [(0, 0, 45, 100)]) is None
    assert annotate(outline, 100, (100, 100), [(0, 0, 10, 10), (40, 23, 5, 10)]) is None


def test_conditions_cover_all_attributes_soon():
    flags = [Conditions('night', 'high', 'side').flags(num_frames) for num_frames in (30, 1500)]
    assert flags == [[0, 1, 0, 0, 0, 1, 0, 1, 0, long_term] for long_term in (0, 1)]
    conditions = [Conditions.of_sequence(number) for number in range(27)]
    assert len(set(conditions)) == 27
    for start in range(0, 27, 3):
        three = conditions[start : start + 3]
        assert {c.weather for c in three} == set(WEATHERS)
        assert {c.altitude for c in three} == set(ALTITUDES)
        assert {c.view for c in three} == set(VIEWS)


def spec_of(weather='daylight', altitude='low', view='bird', index=0):
    spec = sample_scene(scene_generator(2, 3, 'train', index), SIZE, ('stays',) * 13)
    return spec, apply_conditions(spec, Conditions(weather, altitude, view))


def test_conditions_change_what_they_name_and_nothing_else():
    spec, changed = spec_of()
    kept = tuple(item for item in spec.objects if CLASSES[item.label] in CATEGORIES)
    assert [item.label for item in changed.objects] == [item.label for item in kept]
    np.testing.assert_array_equal(changed.gain, spec.gain)
    for item, old in zip(changed.objects, kept, strict=True):
        for time in (0.0, 0.3, 1.0):
            np.testing.assert_array_equal(item.motion.center(time), old.motion.center(time))
    low, medium, high = (np.array([item.radius for item in spec_of(altitude=a)[1].objects]) for a in ALTITUDES)
    assert (low > 1.2 * medium).all()
    assert (medium > 1.2 * high).all()


@pytest.mark.parametrize(('view', 'moves'), [('front', (False, True)), ('side', (True, False)), ('bird', (True, True))])
def test_view_sets_the_direction(view, moves):
    for item in spec_of(view=view)[1].objects:
        way = item.motion.center(0.7) - item.motion.center(0.0)
        assert ((np.abs(way) > 1e-6) == moves).all()


def test_night_is_dark_and_fog_is_pale_and_flat():
    day, night = (paint_scene(spec_of(weather)[1], 0.0).image.astype(float) for weather in ('daylight', 'night'))
    fog = add_haze(day.astype(np.uint8)).astype(float)
    assert night.mean() < 0.5 * day.mean()
    assert fog.mean() > day.mean() + 20
    assert fog.std() < 0.5 * day.std()
    # 45% of the image and 55% of 205.
    assert add_haze(np.full((1, 1, 3), 100, np.uint8)).tolist() == [[[158, 158, 158]]]


def test_regions_lie_within_the_image_in_every_other_sequence():
    rng = np.random.default_rng(0)
    for number in range(60):
        regions = sample_regions(rng, number, (100, 180))
        assert len(regions) == number % 2
        for left, top, width, height in regions:
            assert min(left, top) >= 0
            assert left + width <= 180
            assert top + height <= 100
            assert width * height > 0.05 * 100 * 180


def test_the_preview_has_boxes_in_their_colors(tree):
    root, written, sequences = tree
    assert len(written.previews) == 24
    for number in (0, 1):
        shown, frame = written.previews[number], pixels(root / sequences[number].files[-1])
        colors = {1: (60, 230, 60), 2: (255, 220, 40), 3: (60, 220, 255), 'region': (255, 40, 40)}
        found = {key for key, color in colors.items() if (shown == color).all(axis=2).any()}
        last = sequences[number].boxes[sequences[number].boxes[:, 0] == 2]
        assert found == set(last[:, 8].astype(int)) | ({'region'} if number else set())
        assert shown.shape == frame.shape
