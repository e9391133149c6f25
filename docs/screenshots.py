"""Photograph every page of the built site, and name what does not fit: `python docs/screenshots.py build/site FOLDER`.

Needs `pip install playwright` and a Chromium (`--browser`, or playwright's own). For each page and width it prints
blocks of code, tables and images that are wider than their place, and every address that a page loads from elsewhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

WIDTHS = (1280, 390)
WIDER_THAN_THEIR_PLACE = """() => [...document.querySelectorAll('article pre, article table, article img')]
  .filter(e => (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX != 'visible')
            || e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName.toLowerCase() + ': ' + (e.innerText || e.src).replace(/\\s+/g, ' ').slice(0, 60))"""


def main(argv: list[str] | None = None) -> None:
    """Write NAME-WIDTH.png for each page."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('site', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--browser', help='program of a Chromium')
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.browser, args=['--no-sandbox'])
        for width in WIDTHS:
            page = browser.new_page(viewport={'width': width, 'height': 900})
            page.on(
                'request',
                lambda request: None if request.url.startswith(('file:', 'data:')) else print('loads', request.url),
            )
            for path in sorted(args.site.resolve().rglob('*.html')):
                name = path.relative_to(args.site.resolve()).with_suffix('').as_posix().replace('/', '-')
                page.goto(path.as_uri())
                for block in page.evaluate(WIDER_THAN_THEIR_PLACE):
                    print(width, name, block)
                page.screenshot(path=args.out / f'{name}-{width}.png', full_page=True)
        browser.close()


if __name__ == '__main__':
    main()
