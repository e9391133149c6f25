"""Batches from pinned memory, and the views that are made of them on the device."""

import pytest
import torch
from torch.utils.data import DataLoader

from flsl_mm.models.device import to_device
from tests.builders.toy_flsl import toy_model
from tests.builders.toy_run import ToyImages

pytestmark = pytest.mark.gpu


def test_views_of_pinned_batches_are_those_of_the_cpu(device):
    """Drawn on the host, computed on the device; the copies overlap, so each is compared after all are queued."""
    preprocessors = [toy_model().data_preprocessor.to(each) for each in ('cpu', device)]
    loader = DataLoader(ToyImages(12), batch_size=3, pin_memory=device == 'cuda')
    found = []
    for preprocessor in preprocessors:
        torch.manual_seed(0)
        batches = [preprocessor(batch, training=True)['inputs'] for batch in loader]
        assert batches[0]['views'][0].device.type == preprocessor.device.type
        found.append([view.cpu() for batch in batches for view in batch['views'] + batch['boxes']])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-3)


def test_copies_that_nobody_waits_for_arrive_whole(device):
    """The pinned memory of a copy under way is not given to the next one."""
    numbers = [to_device(torch.full((1000,), float(number)), torch.device(device)) for number in range(200)]
    assert all((each == number).all() for number, each in enumerate(numbers))
