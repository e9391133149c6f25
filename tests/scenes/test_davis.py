"""The DAVIS tree reads back as the clips that were rendered."""

import numpy as np
import pytest
from PIL import Image

from flsl_mm.scenes import davis
from flsl_mm.scenes.painter import Scene, render_clip
from tests.builders.scene_trees import REQUESTS, assert_jpeg_of, pixels


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp('davis')
    davis.write_davis(root, REQUESTS['davis'])
    return root


def test_it_reads_back(tree):
    lists = {split: (tree / 'ImageSets' / '2017' / f'{split}.txt').read_text().split() for split in ('train', 'val')}
    assert lists == {'train': ['scene-000'], 'val': ['scene-val-000']}
    for split, (name,) in lists.items():
        clip = list(render_clip(3, 0, 5, (48, 64), split, roles=('enters', 'returns')))
        folder = tree / 'Annotations' / '480p' / name
        assert len(list(folder.iterdir())) == len(list((tree / 'JPEGImages' / '480p' / name).iterdir())) == 5
        masks = [pixels(folder / f'{number:05d}.png') for number in range(5)]
        with Image.open(folder / '00000.png') as mask:
            assert mask.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
        used = np.unique(masks)
        np.testing.assert_array_equal(used, np.arange(len(used)))
        for number, (mask, scene) in enumerate(zip(masks, clip, strict=True)):
            assert_jpeg_of(tree / 'JPEGImages' / '480p' / name / f'{number:05d}.jpg', scene.image)
            np.testing.assert_array_equal(mask > 0, scene.instance_map > 0)
            pairs = np.unique(np.stack([mask, scene.instance_map]).reshape(2, -1), axis=1)
            assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
        # One object is not in the first frame but has not the largest id, which DAVIS would not score; one is gone in
        # the middle and back at the end.
        assert set(range(1, masks[0].max())) - set(np.unique(masks[0]))
        assert (set(np.unique(masks[0])) & set(np.unique(masks[4]))) - set(np.unique(masks[2]))


def test_ids_count_from_one_when_an_object_is_never_seen(tmp_path, monkeypatch):
    instance_map = np.zeros((48, 64), np.int32)
    instance_map[:9, :9], instance_map[20:, 30:] = 2, 4
    scene = Scene(np.zeros((48, 64, 3), np.uint8), instance_map, np.zeros(4, np.int64), outlines=())
    monkeypatch.setattr(davis, 'render_clip', lambda *args: [scene] * 5)
    written = davis.write_davis(tmp_path, REQUESTS['davis'])
    mask = pixels(tmp_path / 'Annotations' / '480p' / 'scene-000' / '00003.png')
    np.testing.assert_array_equal(mask, instance_map // 2)
    assert written.lines == ['train: 1 videos, 5 frames, 2 objects', 'val: 1 videos, 5 frames, 2 objects']
