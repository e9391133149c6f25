"""The example is the method: without OpenMMLab, the losses of its steps are those of the Runner."""

import json

import pytest
from mmengine.runner import Runner

from tests.builders.toy_run import toy_config, write_images
from tests.test_without_openmmlab import OPENMMLAB, ROOT, run

PROGRAM = """
import json, sys
sys.path.insert(0, {folder!r})
from flsl_in_plain_pytorch import Settings, train

settings = Settings(
    arch=dict(embed_dim=16, depth=2, num_heads=2), patch_size=8, drop_path=0.2, view_size=48,
    hidden_channels=(12,), bottleneck_channels=8, prototypes=10, crops=((1, 40, (0.5, 1.0)), (2, 24, (0.05, 0.4))),
    epochs=3, batch_size=4, lr=5e-3, momentum=(0.9, 1.0), teacher_temp=(0.04, 0.07, 3), workers=0, device='cpu',
)
print(json.dumps([losses for _, losses in train({images!r}, settings)]))
"""


def test_losses_are_those_of_the_runner(tmp_path):
    """Of all 18 steps, in three epochs: to 1e-6, as sums may have another order elsewhere."""
    images = write_images(tmp_path / 'images')
    program = PROGRAM.format(folder=str(ROOT / 'examples'), images=str(images))
    losses = json.loads(run(OPENMMLAB, program, tmp_path).splitlines()[-1])

    runner = Runner.from_cfg(toy_config(images, tmp_path / 'work', model__center_momentum=None))
    rows, step = [], runner.model.train_step

    def train_step(data, optim_wrapper):
        out = step(data, optim_wrapper)
        rows.append({name: float(out[name].detach()) for name in losses[0]})
        return out

    runner.model.train_step = train_step
    runner.train()
    assert len(rows) == len(losses) == 18
    for number, (there, here) in enumerate(zip(rows, losses, strict=True)):
        assert here == pytest.approx(there, rel=1e-6), number
