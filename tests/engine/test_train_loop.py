"""The loop starts inside an epoch, and refuses what it cannot continue."""

import uuid

import pytest
import torch
from mmengine.hooks import Hook

from flsl_mm.datasets.folder import find_images
from tests.builders.checkpoints import same
from tests.builders.toy_flsl import toy_model
from tests.builders.toy_run import ToyImages, toy_runner, write_images

LOOP = dict(type='FLSLEpochTrainLoop', max_epochs=2)


class Record(Hook):
    """Notes the images of each batch, and the hooks' view of where the run is."""

    def __init__(self) -> None:
        self.batches = []
        self.epochs = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append((runner.epoch, batch_idx, runner.iter, data_batch['img_path']))

    def after_train_epoch(self, runner):
        self.epochs.append((runner.epoch, runner.iter))


def run(work_dir, start: int = 0, sampler: str = 'FLSLSampler') -> Record:
    record = Record()
    loader = dict(dataset=ToyImages(), sampler=dict(type=sampler, seed=1), batch_size=2, num_workers=0)
    work_dir.mkdir()
    name = uuid.uuid4().hex
    runner = toy_runner(work_dir, [record], train_dataloader=loader, train_cfg=LOOP, experiment_name=name)
    runner.train_loop._epoch, runner.train_loop._iter = divmod(start, 4)[0], start
    runner.train()
    return record


@pytest.mark.parametrize(
    ('start', 'sampler'),
    [(1, 'FLSLSampler'), (3, 'FLSLSampler'), (4, 'FLSLSampler'), (6, 'FLSLSampler'), (2, 'DefaultSampler')],
)
def test_starts_inside_an_epoch(start, sampler, tmp_path):
    whole = run(tmp_path / 'whole', sampler=sampler)
    assert [(epoch, index, iteration) for epoch, index, iteration, _ in whole.batches] == [
        (i // 4, i % 4, i) for i in range(8)
    ]
    rest = run(tmp_path / 'rest', start, sampler)
    assert rest.batches == whole.batches[start:]
    assert rest.epochs == whole.epochs[start // 4 :]


def test_checkpoint_of_the_last_iteration_of_an_epoch(tmp_path):
    # Written before the epoch's end: epoch 0 and iteration 4 of 4. The epoch's last hooks have yet to run.
    record = Record()
    runner = toy_runner(tmp_path, [record], train_cfg=LOOP)
    runner.train_loop._iter = 4
    runner.train()
    assert [iteration for _, _, iteration, _ in record.batches] == [4, 5, 6, 7]
    assert record.epochs == [(0, 4), (1, 8)]


def resumed(tmp_path, first: dict, second: dict):
    """Train an epoch with a loader, and return the Runner that continues with another one."""
    common = dict(sampler=dict(type='FLSLSampler'), num_workers=0, drop_last=True)
    names = [dict(experiment_name=uuid.uuid4().hex, train_cfg=LOOP) for _ in range(2)]
    toy_runner(tmp_path / 'first', [], train_dataloader=common | first, **names[0]).train()
    source = dict(resume=True, load_from=str(tmp_path / 'first' / 'epoch_1.pth'))
    return toy_runner(tmp_path / 'second', [], train_dataloader=common | second, **names[1], **source)


@pytest.mark.parametrize(
    ('first', 'images', 'second', 'message'),
    [
        # One batch more or less, and what drop_last=True leaves out of the last one.
        (2, 10, 2, '8 images in the data set, this one has 10'),
        (2, 9, 2, '8 images in the data set, this one has 9'),
        (2, 8, 4, '4 iterations in an epoch, this one has 2'),
        # As many iterations.
        (3, 8, 4, '3 images in a batch of all processes, this one has 4'),
    ],
)
def test_other_data_than_the_resumed_run(first, images, second, message, tmp_path):
    loaders = dict(dataset=ToyImages(), batch_size=first), dict(dataset=ToyImages(images), batch_size=second)
    with pytest.raises(ValueError, match=f'the resumed run had {message}: .* load_from'):
        resumed(tmp_path, *loaders).train()


def test_renamed_and_replaced_files(tmp_path, caplog):
    write_images(tmp_path, 8)
    loaders = [dict(dataset=dict(type='FLSLImages', data_root=str(tmp_path), size=48), batch_size=2) for _ in range(2)]
    runner = resumed(tmp_path / 'runs', *loaders)
    (tmp_path / '003.png').rename(tmp_path / '0031.png')
    runner.train_loop.dataloader.dataset.paths = find_images(tmp_path)
    lines = []
    runner.logger.warning = lines.append
    runner.train()
    line = 'at least 1 of 8 image files have another name or size than in the resumed run: it does not continue exactly'
    assert line in lines


def test_fewer_images_than_a_batch(tmp_path):
    loader = dict(dataset=ToyImages(), sampler=dict(type='FLSLSampler'), batch_size=9, num_workers=0, drop_last=True)
    runner = toy_runner(tmp_path, [], train_cfg=LOOP, train_dataloader=loader)
    with pytest.raises(ValueError, match='8 images per process do not fill one batch of 9: lower'):
        runner.train()


def test_iterations_draw_the_same_whatever_came_before(tmp_path):
    states = []
    for name, spoil in (('plain', False), ('spoilt', True)):
        model = toy_model(backbone=dict(drop_path_rate=0.5))
        original = model.train_step

        def train_step(data, optim_wrapper, original=original, spoil=spoil):
            out = original(data, optim_wrapper)
            if spoil:
                torch.rand(5)
            return out

        model.train_step = train_step
        toy_runner(tmp_path / name, [], model, train_cfg=LOOP).train()
        states.append(model.state_dict())
    assert same(*states)
