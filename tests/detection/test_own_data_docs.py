"""docs/own_detection_data.md: its config goes from a COCO file to AP, and keeps nothing of its base's data."""

import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.runner import Runner

import flsl_mm  # noqa: F401  offers the stand-in for mmcv's compiled ops
from flsl_mm.commands import via2coco
from flsl_mm.detection import FLSLCocoDataset
from flsl_mm.scenes.output import TreeRequest
from flsl_mm.scenes.writers import write_scenes
from tests.builders.coco import coco_content
from tests.builders.small_detector import narrow

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs' / 'own_detection_data.md'
LAPTOP = 'mask-rcnn_flsl-vit-t16_fpn_coco.py'


def snippet(name: str) -> str:
    return re.search(rf'<!-- {name} -->\n```python\n(.*?)```', DOCS.read_text(encoding='utf-8'), re.DOTALL)[1]


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('own') / 'mine'
    write_scenes(folder, 'coco', TreeRequest(num=6, seed=0, val_fraction=0.34, size_hw=(64, 64)))
    return folder


def read(text: str, tmp_path: Path, data: Path, **changes: str) -> Config:
    for old, new in {"'data/mine/'": repr(f'{data}/'), "'configs/": f"'{ROOT}/configs/", **changes}.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / 'mine.py').write_text(text)
    return Config.fromfile(tmp_path / 'mine.py')


def train(cfg: Config, tmp_path: Path) -> set[str]:
    """Train a config after its model and run were made small; returns what is logged."""
    narrow(cfg)
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'work'), tmp_path.name
    cfg.merge_from_dict({'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1})
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=1, num_workers=0, persistent_workers=False)
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (64, 64)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return set(runner.message_hub.log_scalars)


def test_the_config_is_short_and_nothing_is_left_over(tmp_path, data):
    text = snippet('own-data')
    assert len([line for line in text.splitlines() if line.strip()]) < 15
    cfg = read(text, tmp_path, data)
    flat = json.dumps(cfg.to_dict(), default=str)
    assert 'data/coco' not in flat
    assert '2017' not in flat
    assert set(re.findall(r'"num_classes": (\d+)', flat)) == {'6'}


def test_one_coco_file_is_split(tmp_path, monkeypatch):
    """As VIA 2 and others write it: ids from 1, boxes as polygons, and entries that COCO does not have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data' / 'mine' / 'annotations').mkdir(parents=True)
    export = coco_content([f'{i}.jpg' for i in range(1, 11)], [(4, 5, 10, 20)], ('ball',))
    export['images'] = [dict(i, license=0, flickr_url='', coco_url='', date_captured='') for i in export['images']]
    export = dict(export, info={}, licenses=[dict(id=0, name='', url='')])
    export['categories'][0]['supercategory'] = 'type'
    (tmp_path / 'export.json').write_text(json.dumps(export))
    exec(snippet('split'), {})
    found = {}
    for split in ('train', 'val'):
        path = f'data/mine/annotations/instances_{split}.json'
        names = dict(metainfo=dict(classes=('ball',)), data_prefix=dict(img='images/'))
        dataset = FLSLCocoDataset(ann_file=path, pipeline=[], test_mode=True, **names)
        items = [dataset.get_data_info(i) for i in range(len(dataset))]
        found[split] = {item['img_id'] for item in items}
        assert all(item['instances'][0]['bbox'] == [4, 5, 14, 25] for item in items)
    assert found['val'] == {1, 6}
    assert found['train'] == set(range(1, 11)) - {1, 6}


def test_from_via_to_ap(tmp_path, data):
    """The page's config on the COCO file that its command makes of VIA's project."""
    mine = tmp_path / 'mine'
    (mine / 'images').mkdir(parents=True)
    project = {}
    for split in ('train', 'val'):
        content = json.loads((data / 'annotations' / f'instances_{split}.json').read_text())
        names = {category['id']: category['name'] for category in content['categories']}
        for image in content['images']:
            name = f'{split}_{image["file_name"]}'
            shutil.copy(data / split / image['file_name'], mine / 'images' / name)
            keys = ('x', 'y', 'width', 'height')
            regions = [
                dict(
                    shape_attributes=dict(zip(keys, annotation['bbox'], strict=True), name='rect'),
                    region_attributes=dict(type=names[annotation['category_id']]),
                )
                for annotation in content['annotations']
                if annotation['image_id'] == image['id']
            ]
            project[name] = dict(filename=name, size=1, regions=regions, file_attributes={})
    (mine / 'via_project.json').write_text(json.dumps(dict(_via_img_metadata=project)))
    assert via2coco.main([str(mine / 'via_project.json')]) == 0
    categories = json.loads((mine / 'annotations' / 'instances_val.json').read_text())['categories']
    names = tuple(category['name'] for category in categories)
    init = re.search(r', backbone=dict\(init_cfg.*?\)\)\)', snippet('own-data'))[0]
    classes = re.search(r"classes = \(('.*?)\)\n", snippet('own-data'))[1]
    changes = {'mask-rcnn_flsl-vit-s16_fpn_1x_coco.py': LAPTOP, init: ')', f'({classes})': repr(names)}
    folders = {f"img='{split}/'": "img='images/'" for split in ('train', 'val')}
    cfg = read(snippet('own-data'), tmp_path, mine, **changes, **folders)
    assert {'val/coco/bbox_mAP', 'val/coco/segm_mAP'} < train(cfg, tmp_path)


def test_boxes_without_masks(tmp_path, data):
    lines = snippet('own-data').splitlines(keepends=True)
    text = ''.join(line for line in lines if not line.startswith(('model =', 'heads ='))) + snippet('boxes')
    cfg = read(text, tmp_path, data, **{'mask-rcnn_flsl-vit-s16_fpn_1x_coco.py': LAPTOP})
    for path in (data / 'annotations').glob('*.json'):
        content = json.loads(path.read_text())
        for annotation in content['annotations']:
            annotation.pop('segmentation', None)
        (data / f'boxes_{path.name}').write_text(json.dumps(content))
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    for part in (*(loader.dataset for loader in loaders), cfg.val_evaluator, cfg.test_evaluator):
        part.ann_file = part.ann_file.replace('annotations/', 'boxes_')
    assert 'val/coco/bbox_mAP' in train(cfg, tmp_path)
