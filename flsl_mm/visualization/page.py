"""One HTML page of images that lie beside it: index, models side by side, similarities on a click; no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from flsl_mm.utils.fileio import printable, write_text

from .compact import CompactFeatures
from .panels import heat_colors

MARK = '<!-- written by flsl_mm -->'
"""Second line of a page, which tells it from somebody else's."""

FOLDER = Path(__file__).parent
"""Where style sheet and script lie that are put into each page."""


class PageImage(NamedTuple):
    """An image on the page.

    Attributes:
        caption: What it shows; plain text.
        path: The file, relative to the page.
        size: Its width and height in pixels, so that the page does not jump while it loads.
    """

    caption: str
    path: str
    size: tuple[int, int]


class PageRow(NamedTuple):
    """Images of one kind, of each model one, side by side.

    Attributes:
        title: Their kind.
        sentence: What to look for, and what was measured.
        images: One of each model.
        wide: Whether they need the width of the page.
    """

    title: str
    sentence: str
    images: Sequence[PageImage]
    wide: bool = True


class Clickable(NamedTuple):
    """Similarities that are shown for the patch that is clicked, beside the image.

    Attributes:
        sentence: What to look for, and what was measured.
        models: Name and features of each model.
        point: Where the first click is: across and down, in parts of the width and height.
    """

    sentence: str
    models: Sequence[tuple[str, CompactFeatures]]
    point: tuple[float, float]


class PageSection(NamedTuple):
    """What belongs to one image.

    Attributes:
        heading: Its name.
        image: The image itself, also in the index; None for none.
        rows: What was drawn of it.
        clickable: Its similarities; None for none.
    """

    heading: str
    image: PageImage | None
    rows: Sequence[PageRow]
    clickable: Clickable | None = None


def write_page(
    path: Path,
    title: str,
    facts: Sequence[str],
    legend: Mapping[str, str],
    sections: Sequence[PageSection],
    skipped: Mapping[str, str],
    table: Sequence[Sequence[str]] = (),
) -> None:
    """Write the page; all texts are plain, and whatever a terminal or a browser would obey in them is escaped.

    Args:
        path: HTML file; its folder must exist.
        title: Heading.
        facts: Sentences below it: what made the images.
        legend: What kinds of images there are, and how each is read.
        sections: What is shown, image by image.
        skipped: Why a file is not shown, by its name.
        table: Rows of cells below the facts, the first of them the head.
    """
    palette = bytes(heat_colors(64).flatten()).hex()
    parts = [
        f'<!doctype html>\n{MARK}\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_text(title)}</title><style>\n{_file("page.css")}</style></head><body data-palette="{palette}">',
        f'<h1>{_text(title)}</h1>',
        *(f'<p class="fact">{_text(fact)}</p>' for fact in facts),
        *_table(table),
        '<details><summary>How to read images and figures</summary><dl>',
        *(f'<dt>{_text(kind)}</dt><dd>{_text(meaning)}</dd>' for kind, meaning in legend.items()),
        '</dl></details>',
    ]
    shown = [(number, section) for number, section in enumerate(sections, start=1) if section.image]
    if len(shown) > 1:
        parts += ['<nav>', *(_thumbnail(number, section) for number, section in shown), '</nav>']
    for number, section in enumerate(sections, start=1):
        parts += _section(number, section)
    if skipped:
        parts.append(f'<h2>Not shown: {len(skipped)} file{"s" * (len(skipped) > 1)}</h2><ul>')
        parts += [f'<li>{_text(name)}: {_text(reason)}</li>' for name, reason in skipped.items()]
        parts.append('</ul>')
    parts.append(f'<script>\n{_file("page.js")}</script></body></html>\n')
    write_text(path, '\n'.join(parts))


def is_own_page(path: Path) -> bool:
    """Return whether :func:`write_page` wrote a file."""
    with path.open(encoding='utf-8', errors='replace') as lines:
        return [next(lines, ''), next(lines, '').strip()][1] == MARK


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding='utf-8')


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    head, *body = rows
    lines = [''.join(f'<th>{_text(cell)}</th>' for cell in head)]
    lines += [''.join(f'<td>{_text(cell)}</td>' for cell in row) for row in body]
    return ['<table>', *(f'<tr>{line}</tr>' for line in lines), '</table>']


def _thumbnail(number: int, section: PageSection) -> str:
    return f'<a href="#i{number}" title="{_text(section.heading)}">{_img(section.image)}</a>'


def _section(number: int, section: PageSection) -> list[str]:
    parts = [f'<section id="i{number}"><h2>{_text(section.heading)}</h2>']
    if section.clickable:
        parts += _maps(section.image, section.clickable)
    elif section.image:
        parts.append(f'<figure>{_img(section.image)}</figure>')
    parts.append('<div class="rows">')
    for row in section.rows:
        parts.append(f'<div class="row{" wide" if row.wide else ""}"><h3>{_text(row.title)}</h3>')
        parts.append(f'<p>{_text(row.sentence)}</p><div class="pair">')
        parts += [_figure(shown) for shown in row.images]
        parts.append('</div></div>')
    return [*parts, '</div></section>']


def _maps(image: PageImage, clickable: Clickable) -> list[str]:
    point = ' '.join(f'{part:.4f}' for part in clickable.point)
    ring = '<span class="ring"></span>'
    parts = [
        f'<p>{_text(clickable.sentence)}</p><div class="maps" data-point="{point}">',
        f'<figure><div class="map">{_img(image)}{ring}</div><figcaption>{_text(image.caption)}</figcaption></figure>',
    ]
    for name, features in clickable.models:
        (h, w), (across, down) = features.grid_hw, image.size
        canvas = f'<canvas width="{w}" height="{h}" style="aspect-ratio:{across}/{down}"'
        parts.append(
            f'<figure><div class="map">{canvas} data-scale="{features.scale:.6g}" '
            f'data-features="{features.base64}"></canvas>{ring}</div>'
            f'<figcaption>{_text(name)}<span class="range"></span></figcaption></figure>'
        )
    return [*parts, '</div>']


def _figure(shown: PageImage) -> str:
    link = quote(shown.path)
    return f'<figure><figcaption>{_text(shown.caption)}</figcaption><a href="{link}">{_img(shown)}</a></figure>'


def _img(shown: PageImage) -> str:
    width, height = shown.size
    return (
        f'<img src="{quote(shown.path)}" width="{width}" height="{height}" loading="lazy" alt="{_text(shown.caption)}">'
    )


def _text(text: str) -> str:
    return escape(printable(text))
