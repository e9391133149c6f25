from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import default_collate
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from scipy import stats
from torch.utils.data import BatchSampler

from flsl_mm.datasets import sampler as module
from flsl_mm.datasets.sampler import FLSLSampler


def epoch_of_ranks(size, world_size, epoch=0, **options):
    ranks = []
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(world_size):
            patch.setattr(module, 'get_dist_info', lambda rank=rank: (rank, world_size))
            sampler = FLSLSampler(range(size), **options)
            sampler.set_epoch(epoch)
            ranks.append(list(sampler))
            assert len(sampler) == len(ranks[-1])
    return ranks


sizes = dict(size=st.integers(8, 200), world_size=st.integers(1, 8), epoch=st.integers(0, 5), seed=st.integers(0, 9))


class Identity(list):
    """A data set whose virtual indices are its items."""

    def __getitem__(self, index):
        return index


@given(**sizes, shuffle=st.booleans())
def test_ranks_share_an_epoch(size, world_size, epoch, seed, shuffle):
    ranks = epoch_of_ranks(size, world_size, epoch, seed=seed, shuffle=shuffle)
    indices = [index for rank in ranks for index in rank]
    assert {len(rank) for rank in ranks} == {size // world_size}
    assert len(set(indices)) == len(indices)
    assert all(epoch * size <= index < (epoch + 1) * size for index in indices)


@given(**sizes)
def test_round_up_covers_every_image(size, world_size, epoch, seed):
    ranks = epoch_of_ranks(size, world_size, epoch, seed=seed, round_up=True)
    assert {len(rank) for rank in ranks} == {-(-size // world_size)}
    assert {index % size for rank in ranks for index in rank} == set(range(size))


@given(**sizes, batch_size=st.integers(1, 5))
def test_global_batches_do_not_depend_on_the_number_of_ranks(size, world_size, epoch, seed, batch_size):
    ranks = epoch_of_ranks(size, world_size, epoch, seed=seed)
    (alone,) = epoch_of_ranks(size, 1, epoch, seed=seed)
    done = range(0, len(ranks[0]), batch_size)
    together = [sorted(index for rank in ranks for index in rank[start : start + batch_size]) for start in done]
    alone = alone[: size // world_size * world_size]
    global_batches = BatchSampler(alone, batch_size * world_size, drop_last=False)
    assert together == [sorted(batch) for batch in global_batches]


@given(size=st.integers(1, 100), position=st.integers(0, 100), epoch=st.integers(0, 4))
def test_position_gives_the_tail_of_the_epoch(size, position, epoch):
    whole, resumed = FLSLSampler(range(size)), FLSLSampler(range(size))
    if position > size:
        with pytest.raises(ValueError, match='not inside an epoch'):
            resumed.set_position(position)
        return
    resumed.set_position(position)
    for number in (epoch, epoch + 1):
        whole.set_epoch(number)
        resumed.set_epoch(number)
        assert list(resumed) == list(whole)[position if number == epoch else 0 :]
    assert len(resumed) == size


def test_epochs_and_seeds_differ(monkeypatch):
    orders = {
        tuple(index % 50 for index in epoch_of_ranks(50, 1, epoch, seed=seed)[0])
        for epoch in range(4)
        for seed in range(4)
    }
    assert len(orders) == 16
    assert epoch_of_ranks(50, 1, 2, seed=3) == epoch_of_ranks(50, 1, 2, seed=3)
    with pytest.raises(ValueError, match='3 images are not enough for 4 processes'):
        epoch_of_ranks(3, 4)
    monkeypatch.setattr(module, 'sync_random_seed', lambda: 17)  # a missing seed is agreed on
    assert DATA_SAMPLERS.build(dict(type='FLSLSampler'), default_args=dict(dataset=range(9), seed=None)).seed == 17


def test_without_shuffling_in_order():
    assert epoch_of_ranks(5, 2, epoch=2, shuffle=False) == [[10, 12], [11, 13]]
    assert epoch_of_ranks(5, 2, epoch=2, shuffle=False, round_up=True) == [[10, 12, 14], [11, 13, 10]]


def test_every_order_is_equally_likely():
    orders = Counter(tuple(index % 4 for index in epoch_of_ranks(4, 1, epoch)[0]) for epoch in range(2400))
    assert set(orders) == set(permutations(range(4)))
    assert stats.chisquare(list(orders.values())).pvalue > 0.01


def test_runs_in_the_runners_loader():
    options = dict(sampler=dict(type='FLSLSampler'), batch_size=2, drop_last=True, collate_fn=default_collate)
    loader = Runner.build_dataloader(dict(options, dataset=Identity(range(7))), seed=3)
    loader.sampler.set_epoch(1)
    assert loader.sampler.seed == 3
    assert len(loader) == 3
    batches = [batch.tolist() for batch in loader]
    loader.sampler.set_position(2)
    assert [batch.tolist() for batch in loader] == batches[1:]
    assert [batch.tolist() for batch in loader] == batches
    # A position holds for an iterator that is not used up.
    loader.sampler.set_position(4)
    whole = list(loader.sampler)
    loader.sampler.set_position(0)
    iterator, order = iter(loader.sampler), list(loader.sampler)
    assert (whole, next(iterator)) == (order[4:], order[0])
    assert list(iterator) == order[1:]
