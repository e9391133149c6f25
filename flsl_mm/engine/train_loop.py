"""Training loop by epochs that continues inside an epoch, and whose random numbers do not depend on earlier steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from mmengine.dist import is_main_process
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop

from flsl_mm.datasets.file_digest import least_changes

from .hooks.schedule import is_pretraining
from .log_processor import batch_size_of


@LOOPS.register_module()
class FLSLEpochTrainLoop(EpochBasedTrainLoop):
    """MMEngine's epoch loop that continues a checkpoint written inside an epoch with that epoch's next batch.

    With :class:`~flsl_mm.datasets.FLSLSampler`, which is told its position, the images before it are not read again;
    with other samplers they are read and thrown away. In pretraining, torch is seeded before each iteration: views,
    queries and drop path draw what they would have drawn in an uninterrupted run, without any generator's state in the
    checkpoint. Use as ``train_cfg=dict(type='FLSLEpochTrainLoop', max_epochs=...)``; the arguments are those of
    ``EpochBasedTrainLoop``.

    Raises:
        ValueError: If there is no full batch, or if the resumed run had another number of images or its epochs another
            number of iterations.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.seeds_iterations = is_pretraining(self.runner.model)
        if len(self.dataloader) == 0:
            raise ValueError(
                f'{len(self.dataloader.sampler)} images per process do not fill one batch of '
                f'{self.dataloader.batch_size}: lower train_dataloader.batch_size or add images'
            )

    def run(self):
        """Train, unless the data or the batch are not those of the run that is resumed."""
        hub = self.runner.message_hub
        global_batch = batch_size_of(self.dataloader) * self.runner.world_size
        for name, what, value in (
            ('dataset_size', 'images in the data set', len(self.dataloader.dataset)),
            ('epoch_length', 'iterations in an epoch', len(self.dataloader)),
            ('batch_size', 'images in a batch of all processes', global_batch),
        ):
            resumed = hub.get_info(name)
            if resumed not in (None, value):
                raise ValueError(
                    f'the resumed run had {resumed} {what}, this one has {value}: continue with the same images, '
                    'batch_size and processes, or start over from its weights with load_from instead of resume'
                )
            hub.update_info(name, value)
        if is_main_process() and hasattr(self.dataloader.dataset, 'digest'):
            self._compare_files()
        return super().run()

    def _compare_files(self) -> None:
        """Warn where the files are not those of the run that is resumed."""
        hub, dataset = self.runner.message_hub, self.dataloader.dataset
        earlier, now = hub.get_info('dataset_digest'), dataset.digest()
        changed = least_changes(earlier, now) if isinstance(earlier, str) else 0
        if changed:
            self.runner.logger.warning(
                f'at least {changed:,} of {len(dataset):,} image files have another name or size than in the resumed '
                'run: it does not continue exactly'
            )
        hub.update_info('dataset_digest', now)

    def run_epoch(self) -> None:
        """Run what is left of an epoch."""
        done = self._iter - self._epoch * len(self.dataloader)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if done < len(self.dataloader):
            for index, batch in enumerate(self.batches_from(done), done):
                self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Run an iteration."""
        if self.seeds_iterations:
            torch.manual_seed(iteration_seed(self.runner.seed, self._iter, self.runner.rank))
        super().run_iter(idx, data_batch)

    def batches_from(self, done: int) -> Iterable[dict]:
        """Return this epoch's batches without the first ``done`` ones."""
        sampler = self.dataloader.sampler
        if not hasattr(sampler, 'set_position'):
            return islice(self.dataloader, done, None)
        sampler.set_position(done * self.dataloader.batch_size)
        return self.dataloader


def iteration_seed(seed: int, iteration: int, rank: int) -> int:
    """Mix the run's seed, the iteration and the process into one seed.

    Multipliers are odd, so distinct (iteration, rank) pairs of one run cannot meet before 2**32 iterations.
    """
    return (seed * 0x9E3779B97F4A7C15 + iteration * 0x100000001 + rank) % 2**63
