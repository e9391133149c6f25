"""The pages: commands parse, what they name (files, options, error lines) is there, each page shows something."""

import ast
import configparser
import importlib
import inspect
import re
import shlex
import shutil
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
import yaml

import flsl_mm

pytest.importorskip('mmdet')
pytest.importorskip('mmpretrain')

from mmengine.config import Config
from mmengine.registry import MODELS

from flsl_mm.commands import COMMANDS

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / 'docs').rglob('*.md'))
PAGES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md')),
    *DOCS,
    *sorted(ROOT.glob('configs/*/README.md')),
]
OTHER_PROGRAMS = {'pip', 'sphinx-build', 'git', 'jupyter', 'pre-commit', 'ruff', 'torchrun'}
OTHER_PROGRAMS |= {'cd', 'do', 'done', 'export', 'find', 'for', 'sed', 'sort', 'split', 'tar', 'unzip', 'wget'}
"""Programs that pages call and that are not ours."""
OTHER_PAGES = {'README', 'index', 'faq', 'troubleshooting', 'changes', 'results', 'differences', 'status'}
GUIDES = [page for page in DOCS if page.parent.name == 'docs' and page.stem not in OTHER_PAGES]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def shell_blocks(page: Path) -> list[str]:
    return re.findall(
        r'^ *```(?:bash|shell|sh)\b[^\n]*\n(.*?)^ *```', page.read_text(encoding='utf-8'), re.DOTALL | re.MULTILINE
    )


def commands(page: Path) -> list[list[str]]:
    """List the commands of a page's shell blocks as words, without scripts and without what sets their environment."""
    found = []
    for block in shell_blocks(page):
        if block.startswith('#!'):
            continue
        for line in block.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            command: list[str] = []
            for word in [*words, '&&']:
                if word in ('&&', '|', ';'):
                    found += [command] if command else []
                    command = []
                elif command or not re.match(r'[A-Z_]+=', word):
                    command.append(word)
    return found


ALL = {shlex.join(words): words for page in PAGES for words in commands(page)}


@cache
def config_of(path: str):
    import flsl_mm.selfsup  # noqa: F401  registers models whose options are looked up

    return Config.fromfile(ROOT / path, import_custom_modules=False)


def check_options(config: str, options: dict) -> None:
    """Check that a config has what the options change; an ``init_cfg`` may be new."""
    for key in options:
        here = config_of(config)
        *parts, last = key.split('.')
        for part in parts:
            if part == 'init_cfg':
                break
            assert part in here, f'{config} has no {part} of {key}'
            here = here[part]
        else:
            known = last in here or parts == ['optim_wrapper']  # whose arguments are MMEngine's
            if not known and parts[0] == 'model':
                model = MODELS.get(here['type'])  # None where its package is not installed
                known = model is None or last in inspect.signature(model).parameters
            assert known, f'{config} has no {key}'


def check_python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a call of Python: our tools parse their arguments, modules can be found, other scripts are the reader's."""
    if words[0] == '-m':
        assert importlib.util.find_spec(words[1]), words[1]
        return
    if not words[0].startswith('tools/'):
        assert not words[0].startswith(('flsl_mm/', 'tests/')), words[0]
        return
    assert (ROOT / words[0]).is_file(), words[0]
    if words[0].startswith('tools/benchmarks/'):
        monkeypatch.syspath_prepend(str(ROOT / Path(words[0]).parent))  # as Python does with a program's folder
        check_arguments(importlib.import_module(words[0].removesuffix('.py').replace('/', '.')), words[1:])
    else:
        check_command(Path(words[0]).stem, words[1:])


def check_command(name: str, arguments: list[str]) -> None:
    """Check that a command exists, is tested, and takes these arguments."""
    module = name.replace('-', '_')
    assert name.replace('_', '-') in COMMANDS, name
    tests = ROOT / 'tests' / 'commands'
    assert (tests / f'test_{module}.py').is_file() or (tests / module).is_dir(), f'no test runs {name}'
    check_arguments(importlib.import_module(f'flsl_mm.commands.{module}'), arguments)


def check_arguments(program: ModuleType, words: list[str]) -> None:
    """Check that a program takes these arguments, and that the config entries among them exist."""
    if hasattr(program, 'parse_args'):
        arguments = program.parse_args(words)
        if getattr(arguments, 'cfg_options', None) and arguments.config.startswith('configs/'):
            check_options(arguments.config, arguments.cfg_options)


@pytest.mark.parametrize('words', ALL.values(), ids=ALL)
def test_a_command_parses(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, *rest = words
    configs = [word for word in words if re.fullmatch(r'configs/\S+\.py', word)]
    assert [path for path in configs if not (ROOT / path).is_file()] == []
    if program == 'python':
        check_python(rest, monkeypatch)
    elif program.startswith('tools/'):
        assert (ROOT / program).is_file()
    elif program == 'pytest':
        assert [word for word in rest if '/' in word and not (ROOT / word).exists()] == []
    elif program == 'flsl-mm':
        if rest and rest[0] != '--help':
            check_command(rest[0], rest[1:])
    else:
        assert program in OTHER_PROGRAMS, f'{program!r} is not a program that the pages may call'


CHEAP = {
    'flsl-mm make-scenes data/mine': '--num 2 --size 32x32',
    'flsl-mm make-scenes data/uavdt_scenes': '--num 2 --size 32x48',
    'flsl-mm uavdt2coco data/uavdt_scenes': '--workers 1',
    'flsl-mm convert checkpoints/flsl_vits16.pth': '',
}
"""Commands of the pages that run in seconds, by how they start, and options that make them smaller."""


@pytest.mark.parametrize('start', ['scenes', 'convert'])
def test_cheap_commands_run(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'checkpoints').mkdir()
    official = ROOT / 'tests' / 'data' / 'reference' / 'official_checkpoint.pth'
    shutil.copy(official, tmp_path / 'checkpoints' / 'flsl_vits16.pth')
    wanted = {begin: more for begin, more in CHEAP.items() if ('flsl-mm convert' in begin) == (start == 'convert')}
    for begin, more in wanted.items():
        found = [words for command, words in ALL.items() if command.startswith(begin)]
        assert found, f'no page has {begin}'
        for _, name, *arguments in found:
            program = importlib.import_module(f'flsl_mm.commands.{name.replace("-", "_")}')
            assert program.main([*arguments, *more.split()]) in (0, None)


@pytest.mark.parametrize('page', DOCS, ids=name_of)
def test_programs_are_called_as_commands(page):
    """In one way on all pages; benchmarks are no commands."""
    assert re.findall(r'python tools/(?!benchmarks)\S+', page.read_text(encoding='utf-8')) == []


def test_extras_that_pip_is_asked_for_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    asked = {extra for command in ALL for found in re.findall(r'\.\[([\w,]+)\]', command) for extra in found.split(',')}
    assert {'mm', 'tests', 'docs'} <= asked | {'docs'}
    assert asked <= set(setup['options.extras_require'])


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_scripts_are_shell(page):
    for block in shell_blocks(page):
        if block.startswith('#!'):
            done = subprocess.run(['bash', '-n'], input=block, text=True, capture_output=True)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    text = page.read_text(encoding='utf-8')
    named = set(
        re.findall(r'(?<![\w/.{])(?:configs|tools|flsl_mm|tests|docs)/[\w./-]+\.(?:py|sh|md|npz|png|jpg)\b', text)
    )
    missing = [path for path in named if not (ROOT / path).is_file()]
    assert [path for path in missing if not re.search('[A-Z]{4}', path)] == []  # placeholders are in capitals


@pytest.mark.parametrize('page', [ROOT / 'README.md', *DOCS], ids=name_of)
def test_a_page_shows_something(page):
    """A guide has a figure or what a program prints; other pages may have Python as it is used, or another file."""
    text = page.read_text(encoding='utf-8')
    kinds = r'!\[|<img|^```text\n' if page in GUIDES else r'!\[|<img|^```(?:text|python|\{include\})'
    assert re.search(kinds, text, re.MULTILINE)


@pytest.mark.parametrize('page', DOCS, ids=name_of)
def test_lists_and_tables_stand_apart(page):
    """Without a blank line before it, a list or table is shown as a part of the paragraph."""
    lines = re.sub(r'^```.*?^```', '', page.read_text(encoding='utf-8'), flags=re.DOTALL | re.MULTILINE).splitlines()
    starts = re.compile(r'[-*] |\|')
    joined = [
        line
        for before, line in pairwise(lines)
        if starts.match(line) and before.strip() and not before.startswith((' ', '- ', '* ', '|', '<'))
    ]
    assert joined == []


def test_no_two_pages_have_one_name():
    titles = [re.search(r'^# (.+)', page.read_text(encoding='utf-8'), re.MULTILINE)[1] for page in DOCS]
    assert sorted(titles) == sorted(set(titles))


@pytest.mark.parametrize('words', ['finetune', 'custom loss', 'license'])
def test_the_search_finds(words):
    """Sphinx's search finds pages that have all words."""
    texts = [page.read_text(encoding='utf-8').lower() for page in DOCS]
    assert any(all(word in text for word in words.split()) and words in text for text in texts)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    assert citation['version'] == flsl_mm.__version__
    assert citation['preferred-citation']['title'] in (ROOT / 'README.md').read_text(encoding='utf-8').replace(
        '{', ''
    ).replace('}', '')


def test_every_page_is_in_the_navigation():
    trees = re.findall(
        r'```\{toctree\}\n((?:.+\n)+?)\n((?:.+\n)+?)```', (ROOT / 'docs/index.md').read_text(encoding='utf-8')
    )
    listed = [re.sub(r'.*<(.+)>', r'\1', line) for _, lines in trees for line in lines.splitlines()]
    pages = [
        path for path in DOCS if path.name not in ('README.md', 'index.md')
    ]  # notes beside files, and the tree itself
    names = [path.relative_to(ROOT / 'docs').with_suffix('').as_posix() for path in pages]
    assert sorted(listed) == sorted([*names, 'first_look'])


def test_modules_of_the_reference_exist():
    names = [
        name
        for page in (ROOT / 'docs' / 'reference').glob('*.md')
        for name in re.findall(r'^\.\. auto\w+:: ([\w.]+)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    ]
    assert len(names) > 50
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition('.')
            assert hasattr(importlib.import_module(module), attribute), name


def constant_texts() -> str:
    """Return every string in the package and its tools, parts of f-strings apart."""
    found = []
    for path in (*(ROOT / 'flsl_mm').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return '\n'.join(found)


def test_error_lines_that_are_explained_are_those_of_the_package():
    text = (ROOT / 'docs' / 'troubleshooting.md').read_text(encoding='utf-8')
    source = constant_texts()
    lines = re.findall(r'^\| `([^`]+)`', text, re.MULTILINE)
    assert len(lines) > 50
    parts = {part.strip(' ,;:()') for line in lines for part in line.split('...')}
    assert sorted(part for part in parts if len(part) > 3 and part not in source) == []


def test_the_readme_lists_the_rooms():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    listed = re.findall(r'^flsl_mm/(\w+)/ ', text, re.MULTILINE)
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / 'flsl_mm').glob('*/__init__.py'))


def test_bibliography_and_ci_commands_stay_in_the_readme():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert "pip install -e '.[mm,tests]' -c requirements/tested.txt && pytest" in text
    assert '@inproceedings{su2023flsl' in text


def test_the_pictures_can_be_made_again(monkeypatch):
    """The scripts beside the pages import what they use, and the drawing of the method is an image."""
    monkeypatch.syspath_prepend(str(ROOT / 'docs'))
    for script in (ROOT / 'docs').glob('make_*.py'):
        importlib.import_module(script.stem)
    image = ElementTree.fromstring(importlib.import_module('make_method').drawing())
    assert len(image.findall('.//{*}image')) == 5  # the scene, the teacher view, three student views
