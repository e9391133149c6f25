"""Generated videos: they write themselves once, hold what DAVIS tests, and are scored."""

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

from flsl_mm.vos.metric import DAVISMetric
from tests.builders.vos_run import CONFIGS, run, toy_config


@pytest.fixture(scope='module')
def scenes(tmp_path_factory) -> dict:
    """Settings of generated videos, of which the seed gives the evaluated one no more objects than it must have."""
    cfg = Config.fromfile(CONFIGS / 'flsl_vit-t16_scenes.py')
    data_root = str(tmp_path_factory.mktemp('scenes') / 'tree')
    return dict(cfg.test_dataloader.dataset, data_root=data_root, num=2, frames=10, seed=2)


def test_scenes_write_themselves(scenes):
    """An object vanishes and returns, and an id that the first frame lacks lies below its largest one."""
    dataset = DATASETS.build(scenes)
    assert len(dataset) == 1
    item = dataset[0]
    assert item['frames'].shape == (10, 240, 384, 3)
    ids = [set(np.unique(mask)) - {0} for mask in item['masks']]
    assert len(ids[0]) >= 2
    assert (ids[0] & ids[-1]) - ids[5]
    late = set(range(1, max(ids[0]))) - ids[0]
    assert late & ids[-1]


def test_scenes_are_evaluated(scenes, tmp_path):
    """Perfect masks score 1 for each object, the late one too; the Runner scores the same objects."""
    item = DATASETS.build(scenes)[0]
    metric = DAVISMetric()
    sample = dict(video=item['video'], index=0, predictions=item['masks'].copy(), protocol={})
    metric.process(dict(masks=[item['masks']]), [sample])
    assert metric.evaluate(size=1)['DAVIS/J&F-Mean'] == 1
    objects = [score.object_id for score in metric.scores]
    assert objects == list(range(1, item['masks'].max() + 1))
    assert all(score.region.mean == score.contour.mean == 1 for score in metric.scores)
    cfg = toy_config(scenes['data_root'], tmp_path)
    metrics = run(cfg)
    assert metrics['DAVIS/videos'] == 1
    assert 0 < metrics['DAVIS/J&F-Mean'] < 1
    rows = (tmp_path / 'davis' / 'per_object_results.csv').read_text().splitlines()
    assert [row.split(',')[0] for row in rows[1:]] == [f'{item["video"]}_{number}' for number in objects]
