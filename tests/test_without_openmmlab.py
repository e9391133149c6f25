"""Models, checkpoints and detectron2's backbone with torch, torchvision and timm alone.

Needs pytest and nothing else of the test environment, so that it also runs where only the package is installed:
``pytest --noconftest tests/test_without_openmmlab.py``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

OPENMMLAB = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mmseg')
NEEDLESS = (*OPENMMLAB, 'kornia', 'pycocotools', 'matplotlib', 'cv2', 'scipy')
"""Packages that loading a model and taking its features does not need."""

BLOCK = """
import sys

class Blocked:
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] in {blocked}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Blocked)
"""

FEATURES = """
import torch
import flsl_mm
from flsl_mm.checkpoint import backbone_file, load_backbone, write_checkpoint
from flsl_mm.models import FLSLViT, FLSLViTPyramid

arch = dict(embed_dim=16, depth=2, num_heads=2)
backbone = FLSLViT(arch, patch_size=8, img_size=32).eval()
write_checkpoint(backbone_file(backbone, (0.5,) * 3, (0.25,) * 3), 'some_backbone.pth')
model = flsl_mm.load_model('some_backbone.pth')
image = torch.rand(3, 20, 33)
with torch.no_grad():
    [expected] = backbone(((image - 0.5) / 0.25)[None])
print('features', torch.equal(model.features(image), expected.permute(0, 2, 3, 1)))

other = FLSLViT(arch, patch_size=8, img_size=32, out_indices=(0, 1))
print(load_backbone(other, 'some_backbone.pth'))
maps = FLSLViTPyramid(16, 8, strides=(4, 16))(other(torch.rand(1, 3, 32, 48)))
print('pyramid', [tuple(features.shape) for features in maps])
"""

DETECTOR = """
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.utils.events import EventStorage

cfg = LazyConfig.load('{config}')
arch = dict(embed_dim=16, depth=4, num_heads=2)
cfg.model.backbone.bottom_up.update(arch=arch, out_indices=(0, 1, 2, 3))
model = instantiate(cfg.model)
cfg.dataloader.train.dataset.update(root='scenes', num=3, size_hw=(64, 64))
cfg.dataloader.train.total_batch_size = 1
with EventStorage(0):
    losses = model(next(iter(instantiate(cfg.dataloader.train))))
sum(losses.values()).backward()
print(sorted(losses), all(torch.isfinite(loss) for loss in losses.values()))
"""


def run(blocked: tuple[str, ...], program: str, folder: Path) -> str:
    """Run a program in an interpreter that does not find some packages; return what it printed."""
    code = BLOCK.format(blocked=blocked) + program
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_models_and_checkpoints_work_with_torch_and_timm_alone(tmp_path):
    printed = run(NEEDLESS, FEATURES, tmp_path)
    assert 'features True\n' in printed
    assert 'loaded 29/29 backbone tensors from some_backbone.pth' in printed
    assert 'pyramid [(1, 16, 8, 12), (1, 16, 2, 3)]\n' in printed


def test_a_detector_of_detectron2_trains_without_openmmlab(tmp_path):
    pytest.importorskip('detectron2', reason='detectron2 is not installed (docs/detectron2.md says how)')
    config = ROOT / 'configs' / 'detectron2' / 'mask_rcnn_flsl_vit_t16_scenes.py'
    printed = run(OPENMMLAB, DETECTOR.format(config=config), tmp_path)
    assert "['loss_box_reg', 'loss_cls', 'loss_mask', 'loss_rpn_cls', 'loss_rpn_loc'] True\n" in printed
