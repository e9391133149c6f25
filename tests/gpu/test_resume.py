"""A run that is killed and goes on: bit for bit on the CPU, and on a GPU as closely as two runs of it agree."""

import signal
from pathlib import Path

import pytest
import torch

from flsl_mm.checkpoint import read_checkpoint
from tests.builders.children import Fault, finish, start
from tests.builders.toy_run import ITERATIONS, toy_config, write_images

from .devices import JITTERED

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


def run(device: str, images: Path, folder: Path, fault: Fault | None = None) -> int:
    """Train the toy model in a process of its own, in mixed precision where there is a GPU."""
    options = {f'model__{name}': value for name, value in JITTERED.items() if name != 'backbone'}
    options |= dict(model__center_momentum=None, model__backbone__position_jitter=dict(range=24.0, zoom=1.5))
    cfg = toy_config(images, folder, optim_wrapper__type='FLSLAmpOptimWrapper', **options)
    environment = dict(CUDA_VISIBLE_DEVICES='') if device == 'cpu' else None
    return finish(start(cfg, fault, environment=environment), timeout=180)


def parts(folder: Path) -> dict[str, torch.Tensor]:
    """Read what a finished run ended with: student, teacher, and the optimizer's moments."""
    content = read_checkpoint(folder / f'iter_{ITERATIONS}.pth')
    states = content['optimizer']['state'].values()
    moments = [state[name] for state in states for name in ('exp_avg', 'exp_avg_sq')]
    vectors = dict(
        student=[value for key, value in content['state_dict'].items() if not key.startswith('teacher')],
        teacher=[value for key, value in content['state_dict'].items() if key.startswith('teacher')],
        moments=moments,
    )
    return {name: torch.cat([value.flatten().double() for value in of]) for name, of in vectors.items()}


def test_killed_and_resumed(device, tmp_path, record_property):
    images = write_images(tmp_path / 'images')
    assert run(device, images, tmp_path / 'one') == 0
    assert run(device, images, tmp_path / 'killed', Fault(9, 'teacher')) == -signal.SIGKILL
    assert run(device, images, tmp_path / 'killed') == 0
    expected, resumed = parts(tmp_path / 'one'), parts(tmp_path / 'killed')
    if device == 'cpu':
        assert all(torch.equal(resumed[name], value) for name, value in expected.items())
        return
    # Sums in an order that varies make two runs on a GPU differ in their last bits.
    assert run(device, images, tmp_path / 'two') == 0
    again = parts(tmp_path / 'two')
    for name, value in expected.items():
        between_runs, after_kill = ((other[name] - value).abs().max().item() for other in (again, resumed))
        record_property(f'{name}, two runs differ by', f'{between_runs:.1e}')
        record_property(f'{name}, after a kill by', f'{after_kill:.1e}')
        assert after_kill <= 10 * between_runs + 1e-6 * value.abs().max().item()
