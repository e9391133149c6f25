"""The site: `sphinx-build -W docs build/site`, with the extra `docs`. No page loads anything from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import flsl_mm

sys.path.insert(0, str(Path(__file__).parent))

import gpu_results

ROOT = Path(__file__).parents[1]


def repository_url() -> str:
    """Return the web address of the repository: DOCS_REPOSITORY, or that of the clone's origin; '' without either."""
    asked = subprocess.run(['git', 'remote', 'get-url', 'origin'], cwd=ROOT, capture_output=True, text=True)
    url = os.environ.get('DOCS_REPOSITORY') or asked.stdout.strip()
    found = re.fullmatch(r'(?:https://|git@|ssh://git@)([\w.-]+\.\w+)[/:]([\w./-]+?)(?:\.git)?/?', url)
    return f'https://{found[1]}/{found[2]}' if found else ''


REPOSITORY = repository_url()
project = 'flsl_mm'
author = 'the flsl_mm contributors'
release = version = flsl_mm.__version__
html_title = 'flsl_mm'

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_copybutton', 'sphinx_design']
exclude_patterns = ['first_look/README.md']
templates_path = ['_templates']
myst_enable_extensions = ['colon_fence', 'attrs_block']
myst_heading_anchors = 4
nb_execution_mode = 'off'  # tests/test_first_look.py runs the notebook
suppress_warnings = ['mystnb.unknown_mime_type', 'myst.header']

autodoc_default_options = {'members': True, 'member-order': 'bysource', 'exclude-members': 'forward, train'}
autodoc_preserve_defaults = True
napoleon_use_ivar = True  # attributes may be properties with a docstring of their own
python_maximum_signature_line_length = 88

html_theme = 'pydata_sphinx_theme'
html_logo = html_favicon = '_static/logo.svg'
html_static_path = ['_static']
html_css_files = ['site.css']
html_sidebars = {'**': ['all_pages.html']}
html_show_sourcelink = False
html_theme_options = {
    'logo': {'text': 'flsl_mm'},
    'navbar_center': [],
    'navbar_end': ['theme-switcher', 'navbar-icon-links'],
    'secondary_sidebar_items': ['page-toc', 'edit-this-page'],
    'footer_start': ['copyright'],
    'footer_end': [],
    'back_to_top_button': True,
}
copyright = 'flsl_mm contributors, Apache License 2.0'
if REPOSITORY:
    owner, repository = REPOSITORY.split('/')[-2:]
    html_context = {'github_user': owner, 'github_repo': repository, 'github_version': 'main', 'doc_path': 'docs'}
    html_theme_options['use_edit_page_button'] = True
    html_theme_options['icon_links'] = [
        {'name': 'Repository', 'url': REPOSITORY, 'icon': 'fa-brands fa-github'},
    ]


def wrapped_if_prose(block: re.Match) -> str:
    """Mark a block of output without columns, whose lines may be wrapped on a telephone."""
    columns = re.search(r'\S {2,}\S', block[1])
    return block[0] if columns else f'```{{code-block}} text\n:class: prose\n\n{block[1]}```'


def adapt_markdown(app, page: str, source: list[str]) -> None:
    """Turn what GitHub reads in its own way into MyST: titles of code blocks, links to files outside docs/."""
    text = re.sub(r'^```text\n(.*?)^```$', wrapped_if_prose, source[0], flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r'^```(\w+) title="([^"]+)"$', r'```{code-block} \1\n:caption: \2', text, flags=re.MULTILINE)
    if Path(app.env.doc2path(page)).parent.name != 'reference':  # whose links to guides start with ../ too
        outside = rf'[\1]({REPOSITORY}/blob/main/\2)' if REPOSITORY else r'\1'
        text = re.sub(r'\[([^\]]+)\]\(\.\./([\w./-]+)\)', outside, text)
    source[0] = text


def setup(app) -> None:
    """Connect to Sphinx."""
    app.connect('source-read', gpu_results.insert)
    app.connect('source-read', adapt_markdown)
