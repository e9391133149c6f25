"""The trees that make_scenes writes: each layout reads back as what was rendered, whole or not at all."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from flsl_mm.scenes import video_writers, writers
from flsl_mm.scenes.aerial_scenes import ALTITUDES, VIEWS, WEATHERS, render_aerial_clip
from flsl_mm.scenes.output import TreeRequest, contact_sheet, tint_instances
from flsl_mm.scenes.painter import CLASSES, Scene, render_clip, render_scene
from flsl_mm.scenes.video_writers import uavdt_conditions, uavdt_sequences
from flsl_mm.scenes.writers import LAYOUTS, coco_annotations, write_scenes
from flsl_mm.uavdt.sequences import UAVDT_SEQUENCES

SMALL = dict(seed=3, size_hw=(48, 64))
REQUESTS = {
    'images': TreeRequest(num=4, **SMALL),
    'coco': TreeRequest(num=4, **SMALL),
    'uavdt': TreeRequest(num=3, frames=2, **SMALL),
    'davis': TreeRequest(num=2, frames=5, **SMALL),
}


def load_tool():
    path = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'make_scenes.py'
    spec = importlib.util.spec_from_file_location('make_scenes', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


TOOL = load_tool()


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    """A tree of each layout."""
    root = tmp_path_factory.mktemp('trees')
    for layout, request in REQUESTS.items():
        write_scenes(root / layout, layout, request)
    return root


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def pixels(path):
    return np.asarray(Image.open(path))


def assert_jpeg_of(path, image):
    """JPEG keeps fine colour noise only roughly; another scene differs by 30 levels and more."""
    assert np.abs(pixels(path).astype(int) - image).mean() < 12


@pytest.mark.parametrize('layout', LAYOUTS)
def test_the_same_request_gives_the_same_bytes(trees, tmp_path, layout):
    write_scenes(tmp_path / 'again', layout, REQUESTS[layout])
    first, second = files_of(trees / layout), files_of(tmp_path / 'again')
    assert first == second
    assert {'preview.png', 'scenes.json'} <= first.keys()
    assert json.loads(first['scenes.json'])['layout'] == layout


@pytest.mark.parametrize('layout', LAYOUTS)
def test_another_seed_gives_other_pictures(trees, tmp_path, layout):
    request = TreeRequest(num=2, frames=5, seed=4, size_hw=(48, 64))
    write_scenes(tmp_path / 'other', layout, request)
    other = files_of(tmp_path / 'other')
    shared = [name for name in files_of(trees / layout) if name.endswith('.jpg') and name in other]
    assert shared
    assert all(other[name] != (trees / layout / name).read_bytes() for name in shared)


def test_images_read_back(trees):
    files = sorted(name for name in files_of(trees / 'images') if name.endswith('.jpg'))
    assert files == ['train/00/000000.jpg', 'train/00/000001.jpg', 'train/00/000002.jpg', 'val/00/000000.jpg']
    for name in files:
        split, number = name.split('/')[0], int(Path(name).stem)
        assert_jpeg_of(trees / 'images' / name, render_scene(3, number, (48, 64), split).image)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_coco_reads_back(trees, split):
    coco = COCO(trees / 'coco' / 'annotations' / f'instances_{split}.json')
    assert [category['name'] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert len(coco.getImgIds()) == {'train': 3, 'val': 1}[split]
    for image in coco.loadImgs(coco.getImgIds()):
        scene = render_scene(3, image['id'], (48, 64), split)
        assert_jpeg_of(trees / 'coco' / split / image['file_name'], scene.image)
        assert (image['height'], image['width']) == (48, 64)
        found = np.zeros((48, 64), np.int32)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image['id'])):
            mask = coco.annToMask(annotation).astype(bool)
            (number,) = np.unique(scene.instance_map[mask])
            found[mask] = number
            assert annotation['category_id'] == scene.labels[number - 1] + 1
            assert annotation['area'] == mask.sum() >= writers.MIN_VISIBLE_PIXELS
            assert annotation['bbox'] == coco_mask.toBbox(coco.annToRLE(annotation)).tolist()
            assert annotation['iscrowd'] == 0
        numbers, areas = np.unique(scene.instance_map, return_counts=True)
        large = np.isin(scene.instance_map, numbers[areas >= writers.MIN_VISIBLE_PIXELS])
        np.testing.assert_array_equal(found, scene.instance_map * large)


def test_coco_leaves_slivers_out():
    instance_map = np.zeros((32, 32), np.int32)
    instance_map[0, :15] = 1
    instance_map[1, :16] = 2
    scene = Scene(np.zeros((32, 32, 3), np.uint8), instance_map, np.array([4, 5]))
    (annotation,) = coco_annotations(scene, image_id=7, first_id=9)
    assert (annotation['id'], annotation['image_id'], annotation['category_id']) == (9, 7, 6)
    assert annotation['bbox'] == [0, 1, 16, 1]


def rows_of(path):
    return [tuple(map(int, line.split(','))) for line in path.read_text().splitlines()]


def test_uavdt_reads_back(trees):
    root = trees / 'uavdt'
    assert sorted(path.name for path in (root / 'UAV-benchmark-M').iterdir()) == ['M0101', 'M0201', 'M0203']
    boxes = 0
    for name, split, number in (('M0101', 'train', 0), ('M0203', 'test', 0), ('M0201', 'train', 1)):
        conditions = uavdt_conditions(number)
        assert rows_of(root / 'M_attr' / split / f'{name}_attr.txt') == [conditions.flags(2)]
        clip = render_aerial_clip(3, number, 2, (48, 64), conditions, {'train': 'train', 'test': 'val'}[split])
        whole, ignore = [], []
        for frame_number, frame in enumerate(clip, start=1):
            assert_jpeg_of(root / 'UAV-benchmark-M' / name / f'img{frame_number:06d}.jpg', frame.image)
            for t in frame.targets:
                whole.append((frame_number, t.target_id, *t.box, t.out_of_view, t.occlusion, t.category))
            ignore += [(frame_number, region, *box, 1, -1, -1) for region, box in frame.ignored.items()]
        truth = root / 'UAV-benchmark-MOTD_v1.0' / 'GT'
        assert rows_of(truth / f'{name}_gt_whole.txt') == whole
        assert rows_of(truth / f'{name}_gt_ignore.txt') == ignore
        boxes += len(whole)
    assert boxes > 5


def test_uavdt_frames_in_a_folder_of_their_own(tmp_path):
    write_scenes(tmp_path / 'out', 'uavdt', TreeRequest(num=2, frames=1, image_folder=True, **SMALL))
    assert (tmp_path / 'out' / 'UAV-benchmark-M' / 'M0203' / 'img1' / 'img000001.jpg').is_file()


def test_uavdt_sequences_alternate_and_are_the_official_ones():
    names = [(name, split) for name, split, _ in uavdt_sequences(4)]
    assert names == [('M0101', 'train'), ('M0203', 'test'), ('M0201', 'train'), ('M0205', 'test')]
    everything = uavdt_sequences(50)
    assert len({name for name, _, _ in everything}) == 50
    assert {split: len(names) for split, names in UAVDT_SEQUENCES.items()} == {'train': 30, 'test': 20}
    assert {name for name, split, _ in everything if split == 'test'} == set(UAVDT_SEQUENCES['test'])


def test_uavdt_conditions_cover_all_attributes_soon():
    conditions = [uavdt_conditions(number) for number in range(27)]
    assert len(set(conditions)) == 27
    for start in range(0, 27, 3):
        three = conditions[start : start + 3]
        assert {c.weather for c in three} == set(WEATHERS)
        assert {c.altitude for c in three} == set(ALTITUDES)
        assert {c.view for c in three} == set(VIEWS)


def test_davis_reads_back(trees):
    root = trees / 'davis'
    lists = {split: (root / 'ImageSets' / '2017' / f'{split}.txt').read_text().split() for split in ('train', 'val')}
    assert lists == {'train': ['scene-000'], 'val': ['scene-val-000']}
    for split, (name,) in lists.items():
        clip = list(render_clip(3, 0, 5, (48, 64), split, roles=('enters', 'returns')))
        folder = root / 'Annotations' / '480p' / name
        assert len(list(folder.iterdir())) == len(list((root / 'JPEGImages' / '480p' / name).iterdir())) == 5
        masks = [pixels(folder / f'{number:05d}.png') for number in range(5)]
        used = np.unique(masks)
        np.testing.assert_array_equal(used, np.arange(len(used)))
        for number, (mask, scene) in enumerate(zip(masks, clip, strict=True)):
            assert_jpeg_of(root / 'JPEGImages' / '480p' / name / f'{number:05d}.jpg', scene.image)
            np.testing.assert_array_equal(mask > 0, scene.instance_map > 0)
            pairs = np.unique(np.stack([mask, scene.instance_map]).reshape(2, -1), axis=1)
            assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
        # One object is not in the first frame but has not the largest id, which DAVIS would not score; one is gone in
        # the middle and back at the end.
        assert set(range(1, masks[0].max())) - set(np.unique(masks[0]))
        assert (set(np.unique(masks[0])) & set(np.unique(masks[4]))) - set(np.unique(masks[2]))


def test_davis_ids_count_from_one_when_an_object_is_never_seen(tmp_path, monkeypatch):
    instance_map = np.zeros((48, 64), np.int32)
    instance_map[:9, :9], instance_map[20:, 30:] = 2, 4
    scene = Scene(np.zeros((48, 64, 3), np.uint8), instance_map, np.zeros(4, np.int64))
    monkeypatch.setattr(video_writers, 'render_clip', lambda *args: [scene] * 5)
    write_scenes(tmp_path / 'out', 'davis', REQUESTS['davis'])
    mask = pixels(tmp_path / 'out' / 'Annotations' / '480p' / 'scene-000' / '00003.png')
    np.testing.assert_array_equal(mask, instance_map // 2)


def test_davis_masks_have_the_palette(trees):
    mask = Image.open(trees / 'davis' / 'Annotations' / '480p' / 'scene-000' / '00000.png')
    assert mask.mode == 'P'
    assert mask.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]


def test_contact_sheet_by_hand():
    pictures = [np.full((10, 20, 3), value, np.uint8) for value in range(10, 80, 10)]
    # A tile is a quarter of 45 wide, so 11 by 6 pixels, four of them in a row.
    sheet = contact_sheet(pictures, sheet_width=45)
    assert sheet.shape == (12, 44, 3)
    np.testing.assert_array_equal(sheet[::6, ::11, 0], [[10, 20, 30, 40], [50, 60, 70, 0]])
    # Small pictures keep their size.
    assert contact_sheet(pictures, sheet_width=200).shape == (10, 140, 3)


def test_tint_marks_instances_only():
    image = np.full((6, 6, 3), 100, np.uint8)
    instance_map = np.zeros((6, 6), np.int32)
    instance_map[2:5, 2:5] = 1
    tinted = tint_instances(image, instance_map)
    np.testing.assert_array_equal(tinted[0, 0], [100, 100, 100])
    np.testing.assert_array_equal(tinted[4, 4], [109, 65, 65])
    assert image.max() == 100


def test_a_failed_write_leaves_the_earlier_tree_and_nothing_else(tmp_path, monkeypatch):
    out = tmp_path / 'out'
    write_scenes(out, 'images', REQUESTS['images'])
    before = files_of(tmp_path)

    def full_disk(path, image):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(writers, 'save_image', full_disk)
    with pytest.raises(OSError, match='No space left'):
        write_scenes(out, 'images', TreeRequest(num=6, **SMALL), force=True)
    assert files_of(tmp_path) == before
    assert list(tmp_path.iterdir()) == [out]


def test_force_replaces_a_tree_of_its_own(tmp_path):
    out = tmp_path / 'out'
    write_scenes(out, 'images', TreeRequest(num=3, **SMALL))
    write_scenes(out, 'coco', REQUESTS['coco'], force=True)
    assert not (out / 'train' / '00').exists()
    assert (out / 'annotations').is_dir()
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_folder_may_be_filled(tmp_path):
    write_scenes(tmp_path, 'images', REQUESTS['images'])
    assert (tmp_path / 'val').is_dir()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ('--num 1', 'num must be at least 2'),
        ('--seed -1', 'seed must be 0 or more'),
        ('--size 16x64', 'at least 32 pixels a side'),
        ('--val-fraction 1.5', 'val_fraction must be between 0 and 1'),
        ('--layout davis --frames 4', 'frames must be at least 5 for the layout davis'),
        ('--layout uavdt --num 51', 'num can be at most 50'),
    ],
)
def test_bad_options_give_one_line(tmp_path, capsys, options, message):
    arguments = [str(tmp_path / 'out'), *('' if '--layout' in options else '--layout images').split(), *options.split()]
    assert TOOL.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert message in error
    assert error.count('\n') == 1
    assert not list(tmp_path.iterdir())


def test_foreign_folders_and_files_are_never_replaced(tmp_path, capsys):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').write_text('precious')
    (tmp_path / 'file').write_text('precious')
    for arguments, message in (
        ([str(tmp_path / 'mine')], 'is not empty'),
        ([str(tmp_path / 'mine'), '--force'], 'was not written by make_scenes'),
        ([str(tmp_path / 'file'), '--force'], 'is a file'),
    ):
        assert TOOL.main([*arguments, '--layout', 'images', '--num', '2', '--size', '32x32']) == 2
        assert message in capsys.readouterr().err
    assert files_of(tmp_path) == {'mine/thesis.txt': b'precious', 'file': b'precious'}


def test_malformed_size_is_explained(capsys):
    with pytest.raises(SystemExit):
        TOOL.main(['out', '--layout', 'images', '--size', '64'])
    assert "'64' is not HEIGHTxWIDTH" in capsys.readouterr().err


def test_the_program_says_what_it_wrote(tmp_path, capsys):
    out = tmp_path / 'out'
    assert TOOL.main([str(out), '--layout', 'coco', '--num', '4', '--size', '48x64', '--seed', '3']) == 0
    text = capsys.readouterr().out
    assert 'train: 3 pictures' in text
    assert str(out / 'preview.png') in text
    assert 'tools/train.py' in text
    written = json.loads((out / 'annotations' / 'instances_train.json').read_text())
    assert f'{len(written["annotations"])} objects of 6 classes' in text
