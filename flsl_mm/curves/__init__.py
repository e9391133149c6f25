"""Curves of training runs from what they left in their work folders; imports fileio and matplotlib."""

from .plot import plot_runs
from .read import Run, read_run, read_runs

__all__ = ['Run', 'plot_runs', 'read_run', 'read_runs']
