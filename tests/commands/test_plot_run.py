"""tools/plot_run.py: where the figure goes, and one line for a mistake."""

from flsl_mm.commands import plot_run
from tests.builders.programs import refused
from tests.commands.plot_run.test_read import write_run


def test_the_figure_lies_in_the_work_folder(tmp_path, capsys):
    write_run(tmp_path, [dict(loss=1.0, iter=1, step=1)], verdict=dict(verdict='healthy', measurements=[]))
    assert plot_run.main([str(tmp_path)]) == 0
    assert (tmp_path / 'curves.png').stat().st_size > 1000
    assert f'{tmp_path.name}: healthy, 1 steps' in capsys.readouterr().out


def test_mistakes(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert 'no folder' in refused(plot_run.main, [tmp_path / 'none'], capsys)
    assert 'cannot write' in refused(plot_run.main, [tmp_path, '--out', tmp_path / 'file/a.png'], capsys)
    assert not (tmp_path / 'none').exists()
