"""Settings of all tests, and what tests of many rooms share."""

import errno
import os
from collections import OrderedDict

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine, and what else it does, than about the code.
settings.register_profile('any machine', deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('any machine')


@pytest.fixture
def fresh_visualizer(monkeypatch):
    """MMEngine keeps the visualizer that a test used first, of whatever class, for the others of the process."""
    from mmengine.visualization import Visualizer

    monkeypatch.setattr(Visualizer, '_instance_dict', OrderedDict())


@pytest.fixture
def fresh_logger(monkeypatch):
    """MMEngine keeps loggers and visualizers by name: those of an earlier test, or of a run in the same second."""
    from mmengine.logging import MMLogger
    from mmengine.visualization import Visualizer

    for kind in (MMLogger, Visualizer):
        monkeypatch.setattr(kind, '_instance_dict', OrderedDict())


@pytest.fixture
def full_disk(monkeypatch):
    """Have the disk turn out to be full when a file is flushed to it."""

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', fsync)
