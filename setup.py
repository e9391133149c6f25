"""Build step beyond setup.cfg: a wheel holds configs and a model, in ``flsl_mm/.mim`` as OpenMMLab's packages do."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ('configs', 'model-index.yml', 'docs/first_look/backbone.pth')


class BuildWithConfigs(build_py):
    """Copy the configs beside the modules; an editable install finds them in the checkout."""

    def run(self) -> None:
        if self.editable_mode:
            super().run()
            return
        # What an earlier build left there, since removed from the sources, would be in the wheel.
        shutil.rmtree(Path(self.build_lib) / 'flsl_mm', ignore_errors=True)
        super().run()
        target = Path(self.build_lib) / 'flsl_mm' / '.mim'
        target.mkdir()
        for name in SHIPPED:
            source = Path(__file__).parent / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target / name)


setup(cmdclass=dict(build_py=BuildWithConfigs))
