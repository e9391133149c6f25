"""tools/dataset_converters/via2coco.py: from files of VIA to two COCO files that the data set reads."""

import json

import pytest

pytest.importorskip('mmdet')

from PIL import Image

from flsl_mm.commands.via2coco import main
from flsl_mm.detection import FLSLCocoDataset
from tests.builders.programs import refused


def write(folder, count, classes=('cat', 'dog'), name='via_project.json', images='images'):
    (folder / images).mkdir(parents=True, exist_ok=True)
    content = {}
    for number in range(count):
        Image.new('RGB', (60, 40)).save(folder / images / f'{number}.png')
        box = dict(name='rect', x=number, y=5, width=10, height=20)
        region = dict(shape_attributes=box, region_attributes=dict(type=classes[number % len(classes)]))
        content[f'{number}.png1'] = dict(filename=f'{number}.png', size=1, regions=[region], file_attributes={})
    (folder / name).write_text(json.dumps(dict(_via_settings={}, _via_img_metadata=content)))
    return folder / name


def loaded(folder, split, prefix, classes=('cat', 'dog')):
    names = dict(metainfo=dict(classes=classes), data_prefix=dict(img=prefix), data_root=str(folder))
    dataset = FLSLCocoDataset(ann_file=f'annotations/instances_{split}.json', pipeline=[], test_mode=True, **names)
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def test_one_file_is_split(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'mine', 10)
    assert main(['mine/via_project.json']) == 0
    classes, root, *splits = capsys.readouterr().out.splitlines()[3:]
    assert (classes, root) == ("classes = ('cat', 'dog')", "data_root = 'mine/'")
    for split, line in zip(('train', 'val'), splits, strict=True):
        assert line == f"{split}: ann_file='annotations/instances_{split}.json', data_prefix=dict(img='images/')"
    items = {split: loaded(tmp_path / 'mine', split, 'images/') for split in ('train', 'val')}
    numbers = {split: [item['instances'][0]['bbox'][0] for item in items[split]] for split in items}
    assert numbers == dict(train=[0, 1, 2, 3, 5, 6, 7, 8], val=[4, 9])
    assert [item['instances'][0]['bbox_label'] for item in items['val']] == [0, 1]
    assert items['val'][0]['img_path'] == str(tmp_path / 'mine' / 'images' / '4.png')


def test_two_files_of_one_class(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train = write(tmp_path / 'mine' / 'train', 3, classes=('',), images='.')
    val = write(tmp_path / 'mine' / 'val', 2, classes=('',), images='.')
    assert main([str(train), str(val), '--class-name', 'balloon']) == 0
    assert "val: ann_file='annotations/instances_val.json', data_prefix=dict(img='val/')" in capsys.readouterr().out
    assert [len(loaded(tmp_path / 'mine', split, f'{split}/', ('balloon',))) for split in ('train', 'val')] == [3, 2]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--val-every', '1'], '--val-every must be 2 or more, got 1'),
        (['--attribute', 'type', '--class-name', 'x'], 'give --attribute or --class-name, not both'),
        (['b.json', 'c.json'], 'give one file of VIA, or two, for training and for validation; got 3'),
        (['--val-every', '9'], 'has 8 images, not 9: set --val-every to 2 or more'),
        (['--attribute', 'kind'], "region 1 of 0.png has no value of the attribute 'kind'"),
        (['--images', 'elsewhere'], 'no image elsewhere/0.png: name the folder of the images as --images'),
        (['x.json'], 'x.json cannot be used: Expecting property name'),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, 8)
    (tmp_path / 'x.json').write_text('{')
    assert message in refused(main, ['via_project.json', *options], capsys)
    assert not (tmp_path / 'annotations').exists()
