"""Models that come with the package, by name; they lie beside it in a checkout, in ``.mim`` in a wheel."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]

SHIPPED = {'first_look': 'docs/first_look/backbone.pth'}
"""Names of models, and their files in the repository."""


def shipped_model(name: str | os.PathLike) -> Path | None:
    """Return the file of a model that comes with the package, None where it has none of that name.

    Raises:
        FileNotFoundError: If ``name`` cannot be anything but a name, and is not that of a model.
    """
    name = os.fspath(name)
    if name in SHIPPED:
        in_wheel = PACKAGE / '.mim'
        return (in_wheel if in_wheel.is_dir() else PACKAGE.parent) / SHIPPED[name]
    if name.isidentifier():
        raise FileNotFoundError(
            f'no checkpoint file and no model {name!r}: models that come with flsl_mm are {", ".join(SHIPPED)}'
        )
    return None
