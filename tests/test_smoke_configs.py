"""Every config runs on tiny inputs: a training step, or a whole evaluation; `pytest -m smoke` runs only these."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')
pytest.importorskip('mmpretrain')

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from flsl_mm.commands.command_line import build_runner
from tests.builders.davis_tree import moving_squares, write_tree

ROOT = Path(__file__).parents[1]
FILES = [*ROOT.glob('configs/*/*.py'), *ROOT.glob('configs/*/ablations/*.py')]
# Those of detectron2 run in tests/detectron2.
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in FILES if path.parent.name != 'detectron2')
VIDEO_CONFIGS = [path for path in CONFIGS if Path(path).parent.name == 'vos']
MMSEG = bool(find_spec('mmseg'))

pytestmark = pytest.mark.smoke


def drop_checkpoints(cfg: dict) -> None:
    for value in cfg.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                drop_checkpoints(part)
    if (cfg.get('init_cfg') or {}).get('type') == 'Pretrained':
        cfg.pop('init_cfg')


def detection_batch(cfg: Config) -> dict:
    """Make one image of 64x64 with two objects of the first class, and let few regions be sampled."""
    from mmdet.testing import demo_mm_inputs

    cfg.model.train_cfg.rcnn.sampler.num = 16
    batch = demo_mm_inputs(1, (3, 64, 64), num_items=[2], num_classes=2, with_mask='mask_head' in cfg.model.roi_head)
    batch['data_samples'][0].gt_instances.labels.zero_()
    return batch


def segmentation_batch(cfg: Config) -> dict:
    """Make two images of 64x64, each of the first class and unlabeled pixels."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    cfg.model.data_preprocessor.size = (64, 64)
    truth = torch.zeros(1, 64, 64, dtype=torch.long)
    truth[:, :8] = 255
    shapes = dict(img_shape=(64, 64), ori_shape=(64, 64))
    samples = [SegDataSample(metainfo=shapes, gt_sem_seg=PixelData(data=truth)) for _ in range(2)]
    return dict(inputs=[torch.randint(256, (3, 64, 64), dtype=torch.uint8) for _ in range(2)], data_samples=samples)


def pretraining_batch(cfg: Config) -> dict:
    """Make two teacher views of 64x64, and let the student views be as small: 3 tokens a side at least."""
    cfg.model.data_preprocessor.global_crops.size = 64
    cfg.model.data_preprocessor.local_crops.size = 48
    return dict(inputs=[torch.randint(256, (3, 64, 64), dtype=torch.uint8) for _ in range(2)])


@pytest.fixture(autouse=True)
def _seeded(monkeypatch):
    monkeypatch.chdir(ROOT)
    torch.manual_seed(0)


@pytest.mark.parametrize('path', [path for path in CONFIGS if path not in VIDEO_CONFIGS])
def test_config_builds_and_takes_a_training_step(path):
    if Path(path).parent.name == 'seg' and not MMSEG:
        pytest.skip('mmseg is not installed')
    cfg = Config.fromfile(path)
    drop_checkpoints(cfg.model)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    batches = dict(mmdet=detection_batch, mmseg=segmentation_batch)
    batch = batches.get(cfg.default_scope, pretraining_batch)(cfg)
    model = MODELS.build(cfg.model).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    logs = model.train_step(batch, wrapper)
    assert torch.isfinite(logs['loss'])
    pairs = zip(model.parameters(), before, strict=True)
    assert any(not torch.equal(parameter, old) for parameter, old in pairs)


@pytest.mark.parametrize('path', VIDEO_CONFIGS)
def test_config_segments_videos(path, tmp_path):
    """A whole run on two small videos: a mask of the source's size for each frame."""
    cfg = Config.fromfile(path)
    year = cfg.test_dataloader.dataset.get('year', 2017)
    size_hw = (96, 192)  # larger than the frames that the model sees
    truth = {'long': moving_squares(4, (1, 2), size_hw), 'short': moving_squares(3, (2,), size_hw)}
    if year == 2016:  # all objects as one
        truth = {name: (masks > 0).astype(np.uint8) for name, masks in truth.items()}
    root = write_tree(tmp_path / 'DAVIS', truth, year)
    cfg.test_dataloader.dataset.update(data_root=str(root), short_side=64, id_gaps='count')
    cfg.update(work_dir=str(tmp_path / 'work'), experiment_name=f'smoke_{Path(path).stem}')
    metrics = build_runner(cfg).test()

    folder = tmp_path / 'work' / 'davis'
    for name, masks in truth.items():
        files = sorted((folder / 'masks' / name).glob('*.png'))
        assert [file.name for file in files] == [f'{number:05d}.png' for number in range(len(masks))]
        predictions = np.stack([np.asarray(Image.open(file)) for file in files])
        assert predictions.shape == masks.shape
        assert np.array_equal(predictions[0], masks[0])
        assert set(np.unique(predictions[1:])) <= set(np.unique(masks[0]))
    assert 0 < metrics['DAVIS/J&F-Mean'] < 1
    assert (metrics['DAVIS/videos'], metrics['DAVIS/failed_videos']) == (2, 0)
