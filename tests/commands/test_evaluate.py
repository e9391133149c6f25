"""The program that measures features: its table and file, every kind of checkpoint, and one line for a mistake."""

import json
from pathlib import Path

import pytest
import torch

import flsl_mm
from flsl_mm.commands import evaluate
from flsl_mm.evaluation.probes import SegmentationProbe
from tests.builders.checkpoints import file_of, timm_vit, tiny, training
from tests.builders.probe_data import write_boxes, write_classes, write_segmentation
from tests.builders.programs import refused

pytestmark = pytest.mark.usefixtures('fresh_logger')

TRIVIAL = ['random weights', 'mean color', 'position alone', 'color and position', 'chance']
FAST = ('--num-scenes', 3, '--random-seeds', 1, '--device', 'cpu')


def run(*arguments) -> int:
    return evaluate.main([str(argument) for argument in (*FAST, *arguments)])


@pytest.fixture(scope='module')
def segmentation(tmp_path_factory) -> Path:
    return write_segmentation(tmp_path_factory.mktemp('segmentation') / 'colors', images=4)


def tables_of(out: Path) -> list[dict]:
    return json.loads(out.read_text())['tables']


def row_of(table: dict, key: str) -> dict:
    (row,) = [row for probe in table['probes'] for row in probe['rows'] if row['key'] == key]
    return row


def test_scenes_by_default(file, tmp_path, capsys):
    out = tmp_path / 'new folder/figures.json'
    assert run(file, '--out', out) == 0
    printed = capsys.readouterr().out
    report = json.loads(out.read_text())
    (table,) = report['tables']
    assert table['models'] == ['ours']
    assert [probe['title'].split()[0] for probe in table['probes']] == ['scenes:', 'diversity']
    row = row_of(table, 'matched_auc')
    assert list(row['columns']) == ['ours', *TRIVIAL]
    assert row['columns']['position alone'] == dict(value=0.5, error=0.0)
    value, error = (row['columns']['ours'][key] for key in ('value', 'error'))
    (line,) = [line for line in printed.splitlines() if 'matched same-object AUC' in line]
    assert f'{value:.3f} ± {error:.3f}' in line
    assert '16 channels, 2 blocks, patches of 8 pixels, positions 4x4' in printed
    assert report['versions']['flsl_mm'] == flsl_mm.__version__
    assert report['hardware']['device'] == 'cpu'
    assert report['settings']['num_scenes'] == 3


@pytest.mark.parametrize(
    ('content', 'options'),
    [(file_of(tiny(3)), {}), (training(), {}), (training(), dict(branch='student')), (timm_vit(7).state_dict(), {})],
    ids=['backbone file', 'training checkpoint', 'its student', 'timm'],
)
def test_any_checkpoint_gives_the_figures_of_its_model(content, options, segmentation, tmp_path):
    path, out = tmp_path / 'a.pth', tmp_path / 'a.json'
    torch.save(content, path)
    said = dict(num_heads=2) | options
    given = [part for name, value in said.items() for part in (f'--{name.replace("_", "-")}', value)]
    assert run(path, '--segmentation', segmentation, '--ignore-index', 9, '--out', out, *given) == 0
    expected = SegmentationProbe(segmentation, ignore_index=9)(flsl_mm.load_model(path, **said))
    for key, figure in expected.items():
        given = {name: pytest.approx(getattr(figure, name)) for name in ('value', 'error', 'parts')}
        assert row_of(tables_of(out)[0], key)['columns']['a'] == given


def test_models_of_one_network_share_a_table(file, tmp_path):
    torch.save(file_of(tiny(5)), tmp_path / 'other.pth')
    (tmp_path / 'folder').mkdir()
    torch.save(file_of(tiny(6)), tmp_path / 'folder/ours.pth')
    torch.save(file_of(tiny(7, patch_size=16)), tmp_path / 'chance.pth')
    names = ('ours', 'other', 'chance', 'folder/ours')
    assert run(*(tmp_path / f'{name}.pth' for name in names), file, '--out', tmp_path / 'a.json') == 0
    fine, coarse = tables_of(tmp_path / 'a.json')
    assert fine['models'] == [f'{tmp_path.name}/ours.pth', 'other', 'folder/ours.pth']  # one file was given twice
    assert coarse['models'] == ['chance.pth']
    assert (fine['network']['patch_size'], coarse['network']['patch_size']) == (8, 16)
    values = [row_of(fine, 'matched_auc')['columns'][name]['value'] for name in fine['models']]
    assert len(set(values)) == 3


def test_all_data_and_unreadable_images(file, segmentation, tmp_path, capsys):
    classes, boxes = write_classes(tmp_path / 'classes', images=4), write_boxes(tmp_path / 'boxes', 4, 12)
    for path in (classes / 'val/class1').iterdir():
        path.write_bytes(b'')
    data = ('--segmentation', segmentation, '--ignore-index', 9, '--class-names', *'abcd', '--classes', classes)
    data += ('--coco', boxes, '--images', boxes.parent / 'images', '--scenes', '--limit', 8, '--k', 5, '--size', 64)
    assert run(file, *data, '--out', tmp_path / 'a.json') == 0
    printed, errors = capsys.readouterr()
    (table,) = tables_of(tmp_path / 'a.json')
    kinds = ['scenes:', 'segmentation', 'classification', 'objects']
    expected = [word for kind in kinds for word in (kind, 'diversity')] + ['boxes']
    assert [probe['title'].split()[0] for probe in table['probes']] == expected
    color = {key: row_of(table, key)['columns']['mean color'] for key in ('knn_miou', 'linear_miou', 'corloc')}
    assert [cell['value'] for cell in color.values()] == [1, 1, 1]
    assert list(color['knn_miou']['parts']) == [*'abcd']
    assert 'patch 5-NN mIoU' in printed
    assert 'bbox-aligned 10-NN, top-1' in printed
    assert 'classification classes: 8 + 8 images, 3 classes' in printed
    skipped = [path for probe in table['probes'] for path in probe['skipped']]
    assert 0 < len(set(skipped)) <= 4
    measured = [line for line in errors.splitlines() if line.startswith('measuring: ')]
    assert measured == [f'measuring: {probe["title"]}' for probe in table['probes']]
    first, *listed = errors.splitlines()[len(measured) :]
    assert first.replace('image ', 'images ') == f'{len(set(skipped))} images could not be used:'
    assert all(f'  {path} (no image of a kind' in errors for path in skipped)
    assert len(listed) == len(set(skipped))


def test_retrieval_and_clusters_beside_segmentation(file, segmentation, tmp_path, capsys):
    data = ('--segmentation', segmentation, '--ignore-index', 9, '--retrieval', 40, 80, '--clusters', 6)
    assert run(file, *data, '--out', tmp_path / 'a.json') == 0
    (table,) = tables_of(tmp_path / 'a.json')
    keys = [row['key'] for probe in table['probes'] for row in probe['rows']]
    assert keys[:2] == ['knn_miou', 'linear_miou']
    assert keys[-4:] == ['bank_40', 'bank_80', 'hungarian_miou', 'overclustering_miou']
    assert row_of(table, 'hungarian_miou')['columns']['mean color']['value'] == 1
    assert 'in-context 30-NN mIoU, bank 80' in capsys.readouterr().out


def test_boxes_of_two_files_the_official_way_and_of_one_category(file, tmp_path, capsys):
    known, asked = write_boxes(tmp_path / 'known', 4, 12), write_boxes(tmp_path / 'asked', 4, 8, seed=3)
    data = ('--coco', known, asked, '--images', known.parent / 'images', asked.parent / 'images')
    assert run(file, *data, '--out', tmp_path / 'a.json') == 0
    assert run(file, *data, '--official-bbox-knn', '--out', tmp_path / 'b.json') == 0
    ours, official = (tables_of(tmp_path / name)[0] for name in ('a.json', 'b.json'))
    assert '12 + 8 images' in ours['probes'][-1]['title']
    assert 'objects of boxes.json: 8 images' in ours['probes'][0]['title']
    assert row_of(ours, 'top5_k10')['columns']['chance']['value'] == 1
    assert row_of(official, 'top5_k10')['columns']['chance']['value'] == 4  # every rank counts
    one = write_boxes(tmp_path / 'one', 1, 4)
    capsys.readouterr()
    # Random weights alone, of another geometry.
    of_none = ('none', '--arch', 'tiny', '--patch-size', 14, '--coco', one, '--images', one.parent / 'images')
    assert run(*of_none, '--scenes', '--out', tmp_path / 'c.json') == 0
    printed, errors = capsys.readouterr()
    assert errors.splitlines()[0].endswith('has boxes of one category only: bbox-aligned k-NN needs two or more')
    assert '192 channels, 12 blocks, patches of 14 pixels, positions 16x16' in printed
    (table,) = tables_of(tmp_path / 'c.json')
    assert table['models'] == []
    assert list(row_of(table, 'matched_auc')['columns']) == TRIVIAL
    assert '126 pixels' in table['probes'][0]['title']  # 128 are not a multiple of the patch size 14


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['missing.pth', '--out', 'earlier.json'], 'missing.pth'),
        (['missing.pth', '--out', 'new.json'], 'missing.pth'),
        (['in/bad.jpg'], 'bad.jpg'),
        (['ours.pth', '--patch-size', 16], 'the file holds another backbone: patch_size 8 in the file and 16'),
        (['ours.pth', '--segmentation', 'empty'], 'segmentation needs images/train'),
        (['ours.pth', '--classes', 'empty'], 'classification needs train/CLASS/IMAGE'),
        (['ours.pth', '--coco', 'a.json', '--images', 'empty'], 'no annotation file a.json'),
        (['ours.pth', '--device', 'cuda:99'], 'device cuda:99 cannot be used'),
        (['missing.pth', '--out', 'empty'], 'empty'),  # said before the files are read
    ],
)
def test_mistakes_are_said_in_one_line(arguments, line, here, capsys):
    (here / 'earlier.json').write_text('earlier')
    assert line in refused(evaluate.main, [*FAST, *arguments], capsys)
    assert (here / 'earlier.json').read_text() == 'earlier'
    assert not (here / 'new.json').exists()


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        ([], 'required: FILE'),
        (['a.pth', '--limit', '0'], "'0' is not an integer above 0"),
        (['a.pth', '--retrieval'], '--retrieval'),
        (['a.pth', '--coco', 'a.json'], '--coco and --images go together'),
        (['a.pth', '--coco', 'a', 'b', 'c', '--images', 'd'], '--coco takes one or two files'),
        (['a.pth', '--coco', 'a', '--images', 'c', 'd'], '--images one folder for all or one for each'),
    ],
)
def test_options_that_do_not_fit(arguments, line, capsys):
    with pytest.raises(SystemExit) as stop:
        evaluate.parse_args(arguments)
    assert stop.value.code == 2
    assert line in capsys.readouterr().err
