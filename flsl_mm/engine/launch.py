"""Rank and number of processes before MMEngine knows them, and which launcher (torchrun, srun, mpirun) set them."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'),
}
"""Where each launcher tells a process its number and how many there are."""

STARTERS = {'pytorch': 'torchrun', 'slurm': 'srun', 'mpi': 'mpirun'}


@dataclass(frozen=True)
class Process:
    """A process of a job, counted from 0."""

    rank: int = 0
    count: int = 1

    def __str__(self) -> str:
        """Name it for messages; a single one needs no name."""
        return '' if self.count == 1 else f' in rank {self.rank} of {self.count} on {socket.gethostname()}'


def process_of(launcher: str) -> Process:
    """Read from the environment which process a launcher has started, before MMEngine joins the processes.

    Variables that are missing or no numbers, and those of other launchers, do not count.
    """
    values = [os.environ.get(name, '') for name in VARIABLES.get(launcher, ())]
    if not values or not all(value.isdecimal() for value in values):
        return Process()
    rank, count = map(int, values)
    return Process(rank, count) if rank < count else Process()


def find_launcher(chosen: str | None) -> str:
    """Return the launcher that is chosen, or else what the environment says.

    Raises:
        ValueError: If Slurm or MPI has started several processes, and it is open whether they belong together: the
            first task of a Slurm job looks the same where it runs alone in a batch script. Or if the launcher that
            is chosen has not started this process.
    """
    if chosen is not None:
        missing = [name for name in VARIABLES.get(chosen, ()) if not os.environ.get(name, '').isdecimal()]
        if missing:
            raise ValueError(
                f'--launcher {chosen} is for processes that {STARTERS[chosen]} starts, and {missing[0]} is not set: '
                f'start with {STARTERS[chosen]}, or leave --launcher out for one process'
            )
        return chosen
    for launcher, starter in STARTERS.items():
        process = process_of(launcher)
        if process.count > 1:
            if launcher == 'pytorch':
                return launcher
            raise ValueError(
                f'{starter} has started {process.count} processes, and this is number {process.rank}: add --launcher '
                f'{launcher} to have them work together, or --launcher none if this one works alone'
            )
    return 'none'
