"""What the site needs besides its pages: links to files of the repository, and references of docstrings."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r':(?:class|func|meth|mod|data|attr|obj):`(~?)\.*([\w.]+)`')
LINK = re.compile(r'\[([^\]]+)\]\((?:\.\./)+[\w./-]+\)')


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Keep the text of a link that leaves the documentation, called by MkDocs for each page."""
    return markdown if page.file.src_uri.count('/') else LINK.sub(r'\1', markdown)


def to_markdown(text: str) -> str:
    """Replace roles by the name that they show, and double backticks by single ones."""
    return ROLE.sub(lambda role: f'`{role[2].rpartition(".")[2] if role[1] else role[2]}`', text).replace('``', '`')


class Roles(griffe.Extension):
    """Rewrites every docstring when it is collected."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
