"""The page: what it shows, what it needs, and that names cannot become part of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from flsl_mm.visualization.page import PageImage, is_own_page, write_page

EVIL = '<script>alert(1)</script>&"\x1b[2J\udcff.png'


class Tags(HTMLParser):
    """Collects tags with their attributes, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ('meta', 'img'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(tmp_path, **changed) -> Tags:
    entries = dict(
        title='Title',
        facts=['fact'],
        legend={'kind': 'how it is read'},
        sections=[('a.png', [PageImage('caption', 'images/a b.png', (30, 20))])],
        skipped={},
    )
    write_page(tmp_path / 'index.html', **(entries | changed))
    tags = Tags()
    tags.feed((tmp_path / 'index.html').read_text(encoding='utf-8'))
    assert not tags.open  # all closed
    return tags


def test_images_are_beside_the_page_and_nothing_comes_from_elsewhere(tmp_path):
    tags = parsed(tmp_path)
    (image,) = [attributes for tag, attributes in tags.tags if tag == 'img']
    assert image == dict(src='images/a%20b.png', width='30', height='20', loading='lazy', alt='caption')
    links = [value for _, attributes in tags.tags for name, value in attributes.items() if name in ('src', 'href')]
    assert set(links) == {'images/a%20b.png'}
    assert not re.search(r'https?:|//|url\(|@import|script', (tmp_path / 'index.html').read_text())
    for text in ('Title', 'fact', 'kind', 'how it is read', 'a.png', 'caption'):
        assert text in tags.text
    assert not any('Not shown' in text for text in tags.text)


def test_names_stay_text(tmp_path):
    tags = parsed(tmp_path, title=EVIL, facts=[EVIL], sections=[(EVIL, [])], skipped={EVIL: EVIL})
    assert 'script' not in [tag for tag, _ in tags.tags]
    assert '\x1b' not in (tmp_path / 'index.html').read_text()
    assert 'Not shown: 1 files' in tags.text
    assert any('alert(1)' in text and '\\x1b' in text and '\\udcff' in text for text in tags.text)


def test_own_pages_are_told_from_others(tmp_path):
    parsed(tmp_path)
    assert is_own_page(tmp_path / 'index.html')
    for content in (b'', b'<!doctype html>\n<html>', b'\xff\xfe'):
        (tmp_path / 'other.html').write_bytes(content)
        assert not is_own_page(tmp_path / 'other.html')
