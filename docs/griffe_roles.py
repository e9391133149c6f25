"""Turns the cross-references of docstrings, written for Sphinx, into code in Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r':(?:class|func|meth|mod|data|attr|obj):`(~?)\.*([\w.]+)`')


def to_markdown(text: str) -> str:
    """Replace roles by the name that they show, and double backticks by single ones."""
    return ROLE.sub(lambda role: f'`{role[2].rpartition(".")[2] if role[1] else role[2]}`', text).replace('``', '`')


class Roles(griffe.Extension):
    """Rewrites every docstring when it is collected."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
