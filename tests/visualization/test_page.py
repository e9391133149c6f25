"""The page: what it shows, what it needs, and that names cannot become part of it."""

import base64
import re
from html.parser import HTMLParser

import torch

from flsl_mm.visualization.compact import compact_features
from flsl_mm.visualization.page import Clickable, PageImage, PageRow, PageSection, is_own_page, write_page

EVIL = '<script>alert(1)</script>&"\x1b[2J\udcff.png'


IMAGE = PageImage('caption', 'images/a b.png', (30, 20))


class Tags(HTMLParser):
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
    sections = [PageSection('a.png', None, [PageRow('row', 'look', [IMAGE])])]
    entries = dict(title='Title', facts=['fact'], legend={'kind': 'how it is read'}, sections=sections, skipped={})
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
    elsewhere = r'https?:|//|url\(|@import|fetch|XMLHttp|<link|\ssrc=[^"]'
    assert not re.search(elsewhere, (tmp_path / 'index.html').read_text())
    for text in ('Title', 'fact', 'kind', 'how it is read', 'a.png', 'row', 'look', 'caption'):
        assert text in tags.text
    assert not any('Not shown' in text for text in tags.text)


def test_an_index_and_similarities_on_a_click(tmp_path):
    features = compact_features(torch.randn(2, 3, 4))
    click = Clickable('click', [('ours', features), ('theirs', features)], (0.5, 0.25))
    section = PageSection('a.png', IMAGE, [], click)
    tags = parsed(tmp_path, sections=[section, section])
    assert [attributes['href'] for tag, attributes in tags.tags if tag == 'a'] == ['#i1', '#i2']
    assert [attributes['id'] for tag, attributes in tags.tags if tag == 'section'] == ['i1', 'i2']
    canvases = [attributes for tag, attributes in tags.tags if tag == 'canvas']
    assert len(canvases) == 4
    assert (canvases[0]['width'], canvases[0]['height'], canvases[0]['style']) == ('3', '2', 'aspect-ratio:30/20')
    assert len(base64.b64decode(canvases[0]['data-features'])) == 2 * 3 * 4
    assert 'data-point="0.5000 0.2500"' in (tmp_path / 'index.html').read_text()
    one = parsed(tmp_path, sections=[section])
    assert 'nav' not in [tag for tag, _ in one.tags]


def test_names_stay_text(tmp_path):
    image = PageImage(EVIL, 'x.png', (3, 2))
    click = Clickable(EVIL, [(EVIL, compact_features(torch.randn(2, 3, 4)))], (0.5, 0.5))
    sections = [PageSection(EVIL, image, [PageRow(EVIL, EVIL, [image])], click)] * 2
    tags = parsed(tmp_path, title=EVIL, facts=[EVIL], table=[[EVIL]], sections=sections, skipped={EVIL: EVIL})
    assert [tag for tag, _ in tags.tags].count('script') == 1
    assert 'alert' not in (tmp_path / 'index.html').read_text().rpartition('<script>')[2]
    assert '\x1b' not in (tmp_path / 'index.html').read_text()
    assert 'Not shown: 1 file' in tags.text
    assert any('alert(1)' in text and '\\x1b' in text and '\\udcff' in text for text in tags.text)


def test_own_pages_are_told_from_others(tmp_path):
    parsed(tmp_path)
    assert is_own_page(tmp_path / 'index.html')
    for content in (b'', b'<!doctype html>\n<html>', b'\xff\xfe'):
        (tmp_path / 'other.html').write_bytes(content)
        assert not is_own_page(tmp_path / 'other.html')
