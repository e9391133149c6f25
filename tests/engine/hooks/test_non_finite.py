"""Steps on NaN or infinity are left out and counted; too many in a row end the run with a dump."""

import copy
import json
import uuid
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from flsl_mm.engine.hooks.non_finite import DAMAGED_INPUT, DAMAGED_WEIGHTS, DIVERGED, batch_files
from flsl_mm.engine.optim import FLSLAmpOptimWrapper, FLSLOptimWrapper
from tests.builders.checkpoints import same
from tests.builders.toy_run import toy_config, write_images

WRAPPERS = [FLSLOptimWrapper, FLSLAmpOptimWrapper]


class Injection(Hook):
    """Damages something in the given iterations, and keeps the model's state before and after the first of them."""

    priority = 'LOWEST'

    def __init__(self, target: str, iterations: range) -> None:
        self.target = target
        self.iterations = iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter not in self.iterations:
            return
        if runner.iter == self.iterations[0]:
            self.before = copy.deepcopy((runner.model.state_dict(), runner.optim_wrapper.optimizer.state_dict()))
        if self.target == 'input':
            data_batch['inputs'] = data_batch['inputs'].float()
            data_batch['inputs'][1, 0, 5, 5] = torch.nan
        elif self.target == 'weight':
            self.sound = runner.model.head.mlp[0].weight.data.clone()
            runner.model.head.mlp[0].weight.data[0, 0] = torch.nan
        elif self.target == 'gradient':
            weight = runner.model.backbone.patch_embed.proj.weight
            self.handle = weight.register_hook(lambda gradient: gradient * torch.inf)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.target == 'gradient' and runner.iter in self.iterations:
            self.handle.remove()
        if self.target == 'weight' and runner.iter == self.iterations[-1]:
            # No step can repair it.
            runner.model.head.mlp[0].weight.data.copy_(self.sound)
        if runner.iter == self.iterations[0]:
            self.after = copy.deepcopy((runner.model.state_dict(), runner.optim_wrapper.optimizer.state_dict()))


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp('images'))


def build(images, work_dir, injection, **options) -> Runner:
    cfg = toy_config(images, work_dir, resume=False, **options)
    cfg.experiment_name = uuid.uuid4().hex
    runner = Runner.from_cfg(cfg)
    runner.register_hook(injection)
    return runner


@pytest.mark.parametrize('target', ['input', 'weight', 'gradient'])
def test_a_step_is_left_out_and_the_run_goes_on(target, images, tmp_path, capsys):
    injection = Injection(target, range(7, 8))
    runner = build(images, tmp_path, injection)
    runner.train()
    line = 'step of iteration 8 left out, loss or gradient is not finite (1 in a row, 1 in all)'
    assert line in capsys.readouterr().out
    (weights, optimizer), (weights_after, optimizer_after) = injection.before, injection.after
    assert any('teacher' in key for key in weights)
    for key, value in weights.items():
        # The center follows the teacher's logits, which damage to the student alone does not touch.
        if key != 'center' or target == 'input':
            torch.testing.assert_close(weights_after[key], value, rtol=0, atol=0, msg=key)
    assert same(optimizer['state'], optimizer_after['state'])
    assert runner.iter == 18
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    assert any(not torch.equal(value, weights[key]) for key, value in runner.model.state_dict().items())
    assert runner.message_hub.get_scalar('train/skipped_steps').current() == 1
    state = runner.optim_wrapper.state_dict()
    assert state['skipped'] == [1, 0]
    # The value is not part of the means of the window, and the file is JSON.
    (path,) = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert len(losses) == 18
    assert None not in losses
    assert max(row.get('skipped_steps', 0) for row in rows) == 1


@pytest.mark.parametrize(
    ('target', 'advice'), [('input', DAMAGED_INPUT), ('weight', DAMAGED_WEIGHTS), ('gradient', DIVERGED)]
)
def test_too_many_in_a_row_end_the_run_with_a_dump(target, advice, images, tmp_path):
    work_dir, elsewhere = tmp_path / 'work', tmp_path / 'checkpoints'
    injection = Injection(target, range(9, 18))
    runner = build(images, work_dir, injection, default_hooks__checkpoint__out_dir=str(elsewhere))
    with pytest.raises(FloatingPointError, match=r'5 steps in a row .* stopped at iteration 14; .*iter14_rank0\.json'):
        runner.train()
    report = json.loads((work_dir / 'non_finite_iter14_rank0.json').read_text())
    assert (report['iteration'], report['epoch'], report['rank']) == (14, 3, 0)
    assert (report['skipped_in_a_row'], report['skipped_steps']) == (5, 5)
    assert report['advice'] == advice
    # A damaged weight is in the checkpoint of iteration 12 too.
    good = 'iter_8.pth' if target == 'weight' else 'iter_12.pth'
    assert report['last_good_checkpoint'] == str(elsewhere / 'work' / good)
    assert len(report['batch_files']) == 4
    assert all(Path(path).parent == images for path in report['batch_files'])
    assert set(report['terms']) >= {'loss', 'intra', 'inter', 'volume'}
    loss = report['terms']['loss']
    assert len(loss['latest']) == 5
    assert loss['before']['count'] == 9
    assert loss['before']['min'] <= loss['before']['mean'] <= loss['before']['max']
    if target == 'gradient':
        assert report['gradients_not_finite'] == ['backbone.patch_embed.proj.weight']
        assert report['weights_not_finite'] == {}
        assert all(isinstance(value, float) for value in loss['latest'])
    else:
        assert loss['latest'] == ['nan'] * 5
        assert len(report['gradients_not_finite']) > 10
    assert report['inputs']['not_finite'] == (target == 'input')
    if target == 'weight':
        assert report['weights_not_finite'] == {'head.mlp.0.weight': 1}


def test_other_optimizer_wrappers_are_refused(images, tmp_path):
    runner = build(images, tmp_path, Injection('none', range(0)), optim_wrapper__type='OptimWrapper')
    runner.optim_wrapper['clip_grad'] = None
    with pytest.raises(ValueError, match=r"needs optim_wrapper\.type='FLSLOptimWrapper'.* got OptimWrapper"):
        runner.train()


def test_files_of_a_detection_batch():
    class Sample:
        img_path = 'a.jpg'

    assert batch_files(dict(data_samples=[Sample(), object()])) == ['a.jpg', '?']
    assert batch_files({}) == []


@pytest.mark.parametrize('kind', WRAPPERS)
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_loss_that_is_not_finite_without_a_bad_gradient(kind, value):
    parameter = nn.Parameter(torch.ones(2))
    wrapper = kind(optimizer=torch.optim.AdamW([parameter], lr=0.1))
    wrapper.update_params(parameter.sum() + value)
    assert torch.equal(parameter.data, torch.ones(2))
    assert (wrapper.skipped_steps, wrapper.skipped_in_a_row) == (1, 1)
    assert parameter.grad is None
    wrapper.update_params(parameter.sum())
    assert not torch.equal(parameter.data, torch.ones(2))
    assert (wrapper.skipped_steps, wrapper.skipped_in_a_row) == (1, 0)


def test_one_bad_batch_of_several_accumulated_ones():
    parameter = nn.Parameter(torch.ones(2))
    wrapper = FLSLOptimWrapper(optimizer=torch.optim.SGD([parameter], lr=0.1), accumulative_counts=2)
    wrapper.update_params(parameter.sum() * torch.nan)
    assert wrapper.skipped_steps == 0
    wrapper.update_params(parameter.sum())
    assert wrapper.skipped_steps == 1
    assert torch.equal(parameter.data, torch.ones(2))
    wrapper.update_params(parameter.sum())
    wrapper.update_params(parameter.sum())
    torch.testing.assert_close(parameter.data, torch.full((2,), 0.9))


@pytest.mark.parametrize('kind', WRAPPERS)
def test_state_between_two_steps(kind):
    def make():
        parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
        optimizer = torch.optim.AdamW(parameters, lr=0.1)
        wrapper = kind(optimizer=optimizer, accumulative_counts=2, clip_grad=dict(max_norm=1.0))
        wrapper.initialize_count_status(nn.Linear(1, 1), 0, 10)
        return parameters, wrapper

    parameters, wrapper = make()
    assert 'gradients' not in wrapper.state_dict()
    wrapper.update_params((parameters[0] ** 2).sum())
    state = wrapper.state_dict()
    assert state['gradients'][1] is None
    others, other = make()
    other.load_state_dict(state)
    other.initialize_count_status(nn.Linear(1, 1), 1, 10)
    for group, each in ((parameters, wrapper), (others, other)):
        each.update_params((group[0] ** 3).sum() + group[1].sum())
    assert same(others, parameters)
    assert 'gradients' not in other.state_dict()
    plain = torch.optim.AdamW(others, lr=0.1).state_dict()
    other.load_state_dict(plain)
    assert other.skipped_steps == 0


def test_unclipped_gradients_stay_as_they_are():
    parameter = nn.Parameter(torch.ones(2))
    wrapper = FLSLOptimWrapper(optimizer=torch.optim.SGD([parameter], lr=1.0))
    wrapper.update_params((parameter * torch.tensor([3.0, 4000.0])).sum())
    assert torch.equal(parameter.data, torch.tensor([-2.0, -3999.0]))
    assert wrapper.message_hub.get_scalar('train/grad_norm').current() == pytest.approx((9 + 16e6) ** 0.5)
