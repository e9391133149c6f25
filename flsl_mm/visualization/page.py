"""One HTML page of images that lie beside it; needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from flsl_mm.utils.fileio import printable, write_text

MARK = '<!-- written by flsl_mm -->'
"""Second line of a page, which tells it from somebody else's."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1500px; margin: 2em auto; padding: 0 1em; color: #222; }
h2 { margin-top: 2.5em; border-top: 1px solid #ccc; padding-top: .5em; overflow-wrap: anywhere; }
figure { margin: 0 0 1.5em; }
figcaption { font-weight: bold; }
img { max-width: 100%; height: auto; }
dt { font-weight: bold; } dd { margin: 0 0 .7em; max-width: 80ch; }
"""


class PageImage(NamedTuple):
    """An image on the page.

    Attributes:
        caption: What it shows; plain text.
        path: The file, relative to the page.
        size: Its width and height in pixels, so that a page of a thousand images does not jump while it loads.
    """

    caption: str
    path: str
    size: tuple[int, int]


def write_page(
    path: Path,
    title: str,
    facts: Sequence[str],
    legend: Mapping[str, str],
    sections: Sequence[tuple[str, Sequence[PageImage]]],
    skipped: Mapping[str, str],
) -> None:
    """Write the page; all texts are plain, and whatever a terminal or a browser would obey in them is escaped.

    Args:
        path: HTML file; its folder must exist.
        title: Heading.
        facts: Sentences below it: what made the images.
        legend: What kinds of images there are, and how each is read.
        sections: A heading and its images each.
        skipped: Why a file is not shown, by its name.
    """
    parts = [
        f'<!doctype html>\n{MARK}\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_text(title)}</title><style>{STYLE}</style></head><body>',
        f'<h1>{_text(title)}</h1>',
        *(f'<p>{_text(fact)}</p>' for fact in facts),
        '<dl>',
        *(f'<dt>{_text(kind)}</dt><dd>{_text(meaning)}</dd>' for kind, meaning in legend.items()),
        '</dl>',
    ]
    for heading, images in sections:
        parts.append(f'<h2>{_text(heading)}</h2>')
        parts += [_figure(shown) for shown in images]
    if skipped:
        parts.append(f'<h2>Not shown: {len(skipped)} files</h2><ul>')
        parts += [f'<li>{_text(name)}: {_text(reason)}</li>' for name, reason in skipped.items()]
        parts.append('</ul>')
    write_text(path, '\n'.join([*parts, '</body></html>\n']))


def is_own_page(path: Path) -> bool:
    """Return whether :func:`write_page` wrote a file."""
    with path.open(encoding='utf-8', errors='replace') as lines:
        return [next(lines, ''), next(lines, '').strip()][1] == MARK


def _figure(shown: PageImage) -> str:
    width, height = shown.size
    link = quote(shown.path)
    return (
        f'<figure><figcaption>{_text(shown.caption)}</figcaption><a href="{link}"><img src="{link}" width="{width}" '
        f'height="{height}" loading="lazy" alt="{_text(shown.caption)}"></a></figure>'
    )


def _text(text: str) -> str:
    return escape(printable(text))
