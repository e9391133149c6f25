"""Which process this is, by the environment that torchrun, srun and mpirun make."""

import pytest

from flsl_mm.engine.launch import VARIABLES, Process, find_launcher, process_of

TORCHRUN, SRUN, MPIRUN = (dict(zip(names, ('1', '2'), strict=True)) for names in VARIABLES.values())


@pytest.fixture
def environment(monkeypatch):
    """Set variables, and no other launcher's."""

    def set_variables(variables):
        for name in sum(VARIABLES.values(), ()):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


@pytest.mark.parametrize(('launcher', 'variables'), [('pytorch', TORCHRUN), ('slurm', SRUN), ('mpi', MPIRUN)])
def test_only_the_variables_of_the_launcher_count(launcher, variables, environment):
    environment(variables)
    assert process_of(launcher) == Process(1, 2)
    assert [process_of(other) for other in ('none', *VARIABLES) if other != launcher] == [Process()] * 3


@pytest.mark.parametrize('variables', [dict(RANK='1'), dict(RANK='0', WORLD_SIZE=''), dict(RANK='3', WORLD_SIZE='2')])
def test_variables_that_say_nothing(variables, environment):
    environment(variables)
    assert process_of('pytorch') == Process()
    assert find_launcher(None) == 'none'


def test_the_launcher_of_the_environment(environment):
    environment(SRUN | TORCHRUN)
    assert find_launcher(None) == 'pytorch'
    assert find_launcher('none') == 'none'


@pytest.mark.parametrize(('launcher', 'variables'), [('slurm', SRUN), ('mpi', MPIRUN)])
def test_processes_that_nobody_joins(launcher, variables, environment):
    environment(variables)
    with pytest.raises(ValueError, match=f'has started 2 processes, and this is number 1: add --launcher {launcher} '):
        find_launcher(None)
    assert find_launcher(launcher) == launcher


@pytest.mark.parametrize(('launcher', 'starter'), [('pytorch', 'torchrun'), ('slurm', 'srun'), ('mpi', 'mpirun')])
def test_a_launcher_that_has_started_nothing(launcher, starter, environment):
    environment({})
    with pytest.raises(ValueError, match=f'--launcher {launcher} is for processes that {starter} starts'):
        find_launcher(launcher)
