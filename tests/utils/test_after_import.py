"""A function is called once a module has been imported; MMEngine finds our models whoever is imported first."""

import subprocess
import sys

import pytest

from flsl_mm.utils.after_import import after_import

ORDERS = (
    'import flsl_mm; from mmengine.registry import MODELS',
    'from mmengine.registry import MODELS; import flsl_mm',
    'import mmengine.model; import flsl_mm; from mmengine.registry import MODELS',
    'import flsl_mm, importlib.util; importlib.util.find_spec("mmengine.model"); from mmdet.registry import MODELS; '
    'import mmdet.models',
)


@pytest.mark.parametrize('order', ORDERS)
def test_models_are_registered_in_any_order_of_imports(order):
    pytest.importorskip('mmdet')
    code = f'{order}; print(MODELS.get("FLSLViT").__module__)'
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == 'flsl_mm.models.vit'


def test_the_function_is_called_after_the_import_and_for_nothing_else(tmp_path, monkeypatch):
    (tmp_path / 'waited_for.py').write_text('ready = True\n')
    (tmp_path / 'other.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, 'meta_path', list(sys.meta_path))
    called = []
    after_import('waited_for', lambda: called.append(sys.modules['waited_for'].ready))
    import other  # noqa: F401

    assert called == []
    import waited_for

    assert called == [True]
    assert type(waited_for.__spec__.loader).__name__ == 'SourceFileLoader'
    after_import('waited_for', lambda: called.append('at once'))
    assert called == [True, 'at once']
    del sys.modules['waited_for'], sys.modules['other']
