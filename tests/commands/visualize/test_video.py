"""A mask followed through a video: the masks of label propagation, animations of all frames, one frame at a time."""

import numpy as np
import pytest
from PIL import Image

from flsl_mm.commands.visualize.video import Frames, draw_video, frames_of_one_size, read_first_mask
from flsl_mm.datasets.image_file import ImageError
from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.scenes.painter import render_clip
from flsl_mm.vos import FLSLLabelPropagator
from tests.builders.checkpoints import tiny
from tests.builders.images import make_image


@pytest.fixture(scope='module')
def models() -> list[FeatureExtractor]:
    mean, std = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
    return [FeatureExtractor(tiny(seed, out_type='featmap'), mean, std, f'model/{seed}').eval() for seed in (3, 4)]


@pytest.fixture
def video(tmp_path):
    folder = tmp_path / 'clip'
    folder.mkdir()
    clip = list(render_clip(seed=0, index=0, num_frames=4, size_hw=(64, 96)))
    for number, scene in enumerate(clip):
        Image.fromarray(scene.image).save(folder / f'{number:05d}.png')
    write_palette_mask(tmp_path / 'first.png', clip[0].instance_map.astype(np.uint8))
    return sorted(folder.iterdir()), tmp_path / 'first.png'


def test_masks_are_those_of_label_propagation(models, video, tmp_path):
    frames, mask = video
    assert draw_video(models, frames, mask, tmp_path / 'out', facts=['made by hand']) == {}
    arrays = [np.array(Image.open(path)) for path in frames]
    first = np.array(Image.open(mask))
    for model, name in zip(models, ('model-3', 'model-4'), strict=True):
        propagator = FLSLLabelPropagator(model.backbone, mean=(0.5,) * 3, std=(0.2,) * 3, progress=False)
        expected = [first, *propagator.segment(arrays, first)]
        for path, ids in zip(frames, expected, strict=True):
            assert np.array_equal(np.array(Image.open(tmp_path / 'out/masks' / name / path.name)), ids)
        with Image.open(tmp_path / 'out' / f'{name}.gif') as animation:
            assert animation.n_frames == 4
            assert f'src="{name}.gif" width="{animation.width}"' in (tmp_path / 'out/index.html').read_text()
    page = (tmp_path / 'out/index.html').read_text()
    for text in ('What model/3 follows', 'model/4', 'made by hand', '4 frames of clip'):
        assert text in page


def test_nothing_is_overwritten(models, video, tmp_path):
    """Models whose names become the same file name, and frames of one name in two folders."""
    frames, mask = video
    (tmp_path / 'more').mkdir()
    other = frames[0].rename(tmp_path / 'more' / frames[1].name)
    alike = [FeatureExtractor(model.backbone, name=name) for model, name in zip(models, ('A/x', 'a x'), strict=True)]
    draw_video(alike, [other, *frames[1:3]], mask, tmp_path / 'out')
    for name in ('1-A-x', '2-a-x'):
        assert (tmp_path / 'out' / f'{name}.gif').is_file()
        written = sorted(path.name for path in (tmp_path / 'out/masks' / name).iterdir())
        assert written == ['1-00001.png', '2-00001.png', '3-00002.png']


def test_frames_that_do_not_fit_are_listed(models, video, tmp_path):
    frames, mask = video
    frames[1].write_bytes(b'no image')
    make_image(48, 64).save(frames[2])
    skipped = draw_video(models[:1], frames, mask, tmp_path / 'out')
    assert list(skipped) == [str(frames[1]), str(frames[2])]
    assert skipped[str(frames[2])] == '48x64 pixels, the first frame 96x64'
    with Image.open(tmp_path / 'out/model-3.gif') as animation:
        assert animation.n_frames == 2
    with pytest.raises(ValueError, match='1 frames can be read of 2: a video has two'):
        draw_video(models[:1], frames[:2], mask, tmp_path / 'out')


def test_masks_of_any_kind(tmp_path):
    ids = np.zeros((6, 8), np.uint8)
    ids[2:4] = 7
    write_palette_mask(tmp_path / 'ids.png', ids)
    assert np.array_equal(read_first_mask(tmp_path / 'ids.png', (6, 8)), ids)
    Image.fromarray(ids // 7 * 255).save(tmp_path / 'white.png')
    Image.fromarray(ids // 7 * 255).convert('RGB').save(tmp_path / 'color.png')
    for name in ('white', 'color'):
        assert np.array_equal(read_first_mask(tmp_path / f'{name}.png', (6, 8)), ids // 7)
    Image.fromarray(0 * ids).save(tmp_path / 'empty.png')
    (tmp_path / 'bad.png').write_bytes(b'no image')
    for name, size_hw, line in (
        ('empty', (6, 8), 'shows no object'),
        ('empty', (6, 9), 'has 8x6 pixels, the first frame 9x6'),
        ('bad', (6, 8), r'bad\.png cannot be read'),
    ):
        with pytest.raises(ValueError, match=line):
            read_first_mask(tmp_path / f'{name}.png', size_hw)


def test_frames_are_read_when_asked_for(video):
    paths, _ = video
    frames = Frames(paths, 48, 8)
    assert len(frames) == 4
    assert frames[0].shape == (32, 48, 3)
    assert frames[0].dtype == np.uint8
    later = frames[2:]
    assert isinstance(later, Frames)
    assert np.array_equal(later[0], frames[2])
    assert [len(frame) for frame in frames] == [32] * 4
    paths[3].unlink()
    assert frames_of_one_size(paths[:2], {}) == paths[:2]
    with pytest.raises(ImageError, match='No such file'):
        frames[3]
