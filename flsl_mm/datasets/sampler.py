"""Sampler whose position can be restored exactly: each index it yields fixes the image *and* its random crop."""

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class FLSLSampler(Sampler[int]):
    """Give each process its share of a permutation of the data set, as virtual indices.

    A virtual index is ``epoch * len(dataset) + i``; data sets whose items depend on nothing else (such as
    :class:`~flsl_mm.datasets.FLSLImages`) then repeat an epoch exactly, from any position. The permutation depends on
    the seed and the epoch alone. Process ``r`` of ``W`` takes every ``W``-th index from the ``r``-th on, so that the
    ``W`` processes together form the same global batches as one process with a batch ``W`` times as large.

    Args:
        dataset: The data set, of which only the length is used.
        seed: Seed of the permutations, the same in every process. None draws one and agrees on it.
        shuffle: Whether to permute; otherwise in the data set's order.
        round_up: What to do where the data set does not divide by the number of processes: give every process one
            index more, repeating the first ones (True), or drop the tail of the epoch's permutation (False).

    Raises:
        ValueError: If there are fewer images than processes.
    """

    def __init__(self, dataset: Sized, seed: int | None = 0, shuffle: bool = True, round_up: bool = False) -> None:
        self.rank, self.world_size = get_dist_info()
        if len(dataset) < self.world_size:
            raise ValueError(f'{len(dataset)} images are not enough for {self.world_size} processes')
        self.dataset_size = len(dataset)
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle = shuffle
        self.num_samples = (self.dataset_size + (self.world_size - 1 if round_up else 0)) // self.world_size
        self.epoch = 0
        self._position = 0

    def __len__(self) -> int:
        """Number of this process's samples in a whole epoch, wherever the next iteration starts."""
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        """Iterate over this process's virtual indices of the epoch, from the position that was set, if any."""
        order = np.arange(self.dataset_size)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.dataset_size)
        order = np.resize(order, self.num_samples * self.world_size)[self.rank :: self.world_size]
        position, self._position = self._position, 0
        return map(int, self.epoch * self.dataset_size + order[position:])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration (called by MMEngine's ``DistSamplerSeedHook``)."""
        self.epoch = epoch

    def set_position(self, num_samples: int) -> None:
        """Let the next iteration, and only that one, start inside its epoch.

        Args:
            num_samples: Number of this process's samples of that epoch that are done already: completed iterations
                times the batch size of one process.

        Raises:
            ValueError: If the epoch has fewer samples.
        """
        if not 0 <= num_samples <= self.num_samples:
            raise ValueError(f'position {num_samples} is not inside an epoch of {self.num_samples} samples')
        self._position = num_samples
